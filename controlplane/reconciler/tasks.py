"""What a worker knows how to look after: a handler for each kind of due work."""

from controlplane.reconciler.cluster.reconcile_cluster import reconcile
from controlplane.reconciler.site.reconcile_site import reconcile_site
from controlplane.reconciler.site.reconcile_tenant import reconcile_tenant
from controlplane.work.loop import Handler
from controlplane.work.models import Kind

HANDLERS: dict[str, Handler] = {
    Kind.CLUSTER: reconcile,
    Kind.TENANT: reconcile_tenant,
    Kind.SITE: reconcile_site,
}
