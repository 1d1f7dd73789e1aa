"""Where the services of a cluster are reached."""

from collections.abc import Mapping
from typing import Any

from controlplane.clusters.models import Cluster, Observation
from controlplane.clusters.models.site import SiteKind
from controlplane.clusters.secrets import run_secret
from templates.schema import Launch, Role, Service


def endpoints(
    cluster: Cluster, launch: Launch, observations: Mapping[str, Observation], *, open_pages: bool
) -> list[dict[str, Any]]:
    """One entry a service of each group: {"name", "group"} with "url" and "dashboard" for http, else "address".

    Null where the node is not ready, where the site has no gateway, or (url) where the asker may not open pages.
    """
    return [
        _http(cluster, role, service, ready, open_pages) | {"group": group.name}
        if service.scheme == "http"
        else {"name": service.name, "group": group.name, "address": _address(role, service, ready)}
        for group in launch.groups
        for role in [launch.app.role(group.role)]
        for ready in [_first_ready(cluster, group.name, observations)]
        for service in role.services
    ]


def _first_ready(cluster: Cluster, group: str, observations: Mapping[str, Observation]) -> Observation | None:
    nodes = sorted((node for node in cluster.nodes.all() if node.group == group), key=lambda node: node.index)
    seen = [observations[node.name] for node in nodes if node.name in observations]
    return next((sight for sight in seen if sight.state == "ready"), None)


def _address(role: Role, service: Service, ready: Observation | None) -> str | None:
    return f"{ready.address}:{role.ports[service.port]}" if ready else None


def _http(
    cluster: Cluster, role: Role, service: Service, ready: Observation | None, open_pages: bool
) -> dict[str, Any]:
    shown = ready is not None and open_pages and cluster.site.kind == SiteKind.LOCAL
    url = f"http://{_address(role, service, ready)}{service.path}" if shown else None
    if url and service.token:
        url += f"?token={run_secret(cluster, service.token)}"
    return {"name": service.name, "url": url, "dashboard": service.dashboard}
