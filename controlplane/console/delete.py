"""The page that deletes a cluster. It asks for the name, because there is no undo."""

from django.contrib import messages
from django.http import HttpResponse

from controlplane.clusters.access import cluster_for, operate
from controlplane.clusters.phases import Phase
from controlplane.clusters.services import cluster_delete
from controlplane.console import words
from controlplane.console.calls import Call
from controlplane.console.frame import ConsoleRequest, see_other, show, tenant_view
from tenants.access import Access
from tenants.errors import Conflict


@tenant_view(methods=("GET", "HEAD", "POST"), back="console:cluster", verb="cluster.delete")
def delete(request: ConsoleRequest, access: Access, cluster: str) -> HttpResponse:
    found = cluster_for(access, cluster)
    operate(access, found)
    error, force = "", request.POST.get("force") == "yes"
    if request.method == "POST":
        if request.POST.get("name", "").strip() == found.name:
            cluster_delete(access=access, cluster=str(found.id), force=force)
            messages.success(request, words.CLUSTER_DELETING.format(found.name))
            # By id, because after the deletion the name may be another cluster's.
            return see_other("console:cluster", tenant=access.tenant.name, cluster=found.id)
        error = words.WRONG_CLUSTER_NAME.format(found.name)
    if found.phase == Phase.DELETED:
        raise Conflict("WRONG_PHASE", words.CLUSTER_DELETED_ALREADY)
    storage = found.launch.keeps.to_json()["storage"]
    path = f"/tenants/{access.tenant.name}/clusters/{found.name}"
    return show(
        request,
        "delete",
        {"cluster": found, "error": error, "storage": storage, "force": force},
        access=access,
        calls=[Call("Delete it", path, method="DELETE")],
        status=400 if error else 200,
    )
