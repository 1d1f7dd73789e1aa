"""The buttons that act at once: start, stop, restart, cancel."""

from typing import Final

from django.contrib import messages
from django.http import HttpResponse

from controlplane.clusters.access import cluster_for
from controlplane.clusters.models import Cluster
from controlplane.clusters.services import cluster_restart, cluster_start, cluster_stop, operation_cancel
from controlplane.console.frame import ConsoleRequest, see_other, tenant_view
from tenants.access import Access
from tenants.errors import Conflict
from tenants.names import parse_id

DONE: Final = {
    "start": "{} is starting.",
    "stop": "{} is stopping.",
    "restart": "{} is restarting.",
    "cancel": "Cancelled. {} goes on from what is there now.",
}


class VerbConverter:
    regex = "start|stop|restart|cancel"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


@tenant_view(methods=("POST",), back="console:cluster", verb="cluster.{verb}")
def verb(request: ConsoleRequest, access: Access, cluster: str, verb: str) -> HttpResponse:
    found = _act(request, access, cluster, verb)
    messages.success(request, DONE[verb].format(found.name))
    return see_other("console:cluster", tenant=access.tenant.name, cluster=found.name)


def _act(request: ConsoleRequest, access: Access, cluster: str, verb: str) -> Cluster:
    match verb:
        case "start":
            return cluster_start(access=access, cluster=cluster)
        case "restart":
            return cluster_restart(access=access, cluster=cluster, nodes=request.POST.getlist("node"))
        case "stop":
            return cluster_stop(access=access, cluster=cluster, force=request.POST.get("force") == "yes")
        case _:
            return _cancel(request, access, cluster)


def _cancel(request: ConsoleRequest, access: Access, cluster: str) -> Cluster:
    """Exactly the operation that was on the screen, never one that came after it."""
    found = cluster_for(access, cluster)
    operation = parse_id(request.POST.get("operation", ""))
    if operation is None or not found.operations.filter(id=operation).exists():
        raise Conflict("WRONG_PHASE", "There is nothing to cancel.")
    operation_cancel(access=access, operation=operation)
    return found
