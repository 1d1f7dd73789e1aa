"""The handler for each kind of work item."""

from controlplane.reconciler.cluster.reconcile_cluster import reconcile_cluster
from controlplane.reconciler.site.reconcile_site import reconcile_site
from controlplane.reconciler.site.reconcile_tenant import reconcile_tenant
from controlplane.work.loop import Handler
from controlplane.work.models import Kind

HANDLERS: dict[str, Handler] = {
    Kind.CLUSTER: reconcile_cluster,
    Kind.TENANT: reconcile_tenant,
    Kind.SITE: reconcile_site,
}
