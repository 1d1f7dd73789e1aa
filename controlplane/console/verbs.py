"""The buttons that start an operation at once: start, stop, restart and cancel."""

from django.contrib import messages
from django.http import HttpResponse

from controlplane.clusters.access import cluster_for
from controlplane.clusters.models import Cluster
from controlplane.clusters.services import cluster_restart, cluster_start, cluster_stop, operation_cancel
from controlplane.console import words
from controlplane.console.frame import ConsoleRequest, see_other, tenant_view
from tenants.access import Access
from tenants.errors import Conflict
from tenants.names import parse_id


class VerbConverter:
    """The verbs of this file in a URL."""

    regex = "start|stop|restart|cancel"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


@tenant_view(methods=("POST",), back="console:cluster", verb="cluster.{verb}")
def verb(request: ConsoleRequest, access: Access, cluster: str, verb: str) -> HttpResponse:
    match verb:
        case "start":
            found = cluster_start(access=access, cluster=cluster)
        case "restart":
            found = cluster_restart(access=access, cluster=cluster, nodes=request.POST.getlist("node"))
        case "stop":
            found = cluster_stop(access=access, cluster=cluster, force=request.POST.get("force") == "yes")
        case _:
            found = _cancel(request, access, cluster)
    messages.success(request, words.CLUSTER_VERB_DONE[verb].format(found.name))
    return see_other("console:cluster", tenant=access.tenant.name, cluster=found.name)


def _cancel(request: ConsoleRequest, access: Access, cluster: str) -> Cluster:
    """Cancels the operation that the page showed, never a later one."""
    found = cluster_for(access, cluster)
    operation = parse_id(request.POST.get("operation", ""))
    if operation is None or not found.operations.filter(id=operation).exists():
        raise Conflict("WRONG_PHASE", words.NOTHING_TO_CANCEL)
    operation_cancel(access=access, operation=operation)
    return found
