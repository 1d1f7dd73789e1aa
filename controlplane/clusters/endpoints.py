"""The addresses and links of a cluster's services."""

import socket
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from controlplane.clusters.models.site import SiteKind
from controlplane.clusters.queries.reads import ReadyNodes
from controlplane.clusters.read_model import ClusterRow
from controlplane.clusters.secrets import page_secret
from templates.schema import Launch, Role, Service

# On a loopback address a closed port refuses at once; only a process that hangs takes this long.
CONNECT_SECONDS = 0.2


def endpoints(
    cluster: ClusterRow, launch: Launch, ready: Mapping[str, ReadyNodes], *, open_pages: bool
) -> list[dict[str, Any]]:
    """An entry per service of each group: {"name", "group"} with "url", "dashboard", "idle" for http, else "address".

    ready: by group, as `ready_nodes` reads them. open_pages: whether the user may open pages.
    url and address are None where no node is ready. url is also None where the site has no gateway, where the user may
    not open pages, and while an on-demand service does not run; then "idle" is true.
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
    cluster: ClusterRow, role: Role, service: Service, address: str | None, open_pages: bool
) -> dict[str, Any]:
    shown = address is not None and open_pages and cluster.site_kind == SiteKind.LOCAL
    url = f"http://{_at(role, service, address)}{service.path}" if shown else None
    if url and service.token:
        url += f"?token={page_secret(cluster, service.token)}"
    idle = url is not None and not is_there(cluster.site_kind, role, service, address)
    return {
        "name": service.name,
        "url": None if idle else url,
        "dashboard": service.dashboard,
        "idle": idle,
    }


def is_there(site_kind: str, role: Role, service: Service, address: str | None) -> bool:
    """Whether a service of a ready node answers: an on-demand service does while its port is open.

    At sites whose ports cannot be reached from here an on-demand service counts as not there.
    """
    if not service.on_demand:
        return True
    if address is None or site_kind != SiteKind.LOCAL:
        return False
    try:
        with closing(socket.create_connection((address, role.ports[service.port]), timeout=CONNECT_SECONDS)):
            return True
    except OSError:
        return False
