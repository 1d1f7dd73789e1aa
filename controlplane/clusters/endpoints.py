"""Where the services of a cluster are reached."""

import socket
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from controlplane.clusters.listing import ListedCluster
from controlplane.clusters.models import Cluster
from controlplane.clusters.models.site import SiteKind
from controlplane.clusters.secrets import page_secret
from controlplane.clusters.selectors import ReadyNodes
from templates.schema import Launch, Role, Service

# On a loopback address a closed port refuses at once; only a process that hangs lets this pass.
ASK_SECONDS = 0.2


def endpoints(
    cluster: Cluster | ListedCluster, launch: Launch, ready: Mapping[str, ReadyNodes], *, open_pages: bool
) -> list[dict[str, Any]]:
    """One entry a service of each group: {"name", "group"} with "url" and "dashboard" for http, else "address".

    ready: by group, as `ready_nodes` reads them.
    Null where no node is ready, where the site has no gateway, or (url) where the asker may not open pages.
    A url is null, too, while a service that is there on demand is not there: then "idle" is true.
    """
    return [
        _http(cluster, role, service, address, open_pages) | {"group": group.name}
        if service.scheme == "http"
        else {"name": service.name, "group": group.name, "address": _at(role, service, address)}
        for group in launch.groups
        for role in [launch.app.role(group.role)]
        for address in [ready[group.name].address if group.name in ready else None]
        for service in role.services
    ]


def _at(role: Role, service: Service, address: str | None) -> str | None:
    return None if address is None else f"{address}:{role.ports[service.port]}"


def _http(
    cluster: Cluster | ListedCluster, role: Role, service: Service, address: str | None, open_pages: bool
) -> dict[str, Any]:
    shown = address is not None and open_pages and cluster.site.kind == SiteKind.LOCAL
    url = f"http://{_at(role, service, address)}{service.path}" if shown else None
    if url and service.token:
        url += f"?token={page_secret(cluster, service.token)}"
    idle = url is not None and not is_there(cluster, role, service, address)
    return {
        "name": service.name,
        "url": None if idle else url,
        "dashboard": service.dashboard,
        "idle": idle,
    }


def is_there(cluster: Cluster | ListedCluster, role: Role, service: Service, address: str | None) -> bool:
    """Whether a service of a node that is ready answers. One that is there on demand is asked.

    Where its port cannot be reached from here it counts as not there.
    """
    if not service.on_demand:
        return True
    if address is None or cluster.site.kind != SiteKind.LOCAL:
        return False
    try:
        with closing(socket.create_connection((address, role.ports[service.port]), timeout=ASK_SECONDS)):
            return True
    except OSError:
        return False
