"""What a tenant leaves on the sites goes once nothing of it is held any more."""

from django.conf import settings

from controlplane.clusters.models import Cluster, Site
from controlplane.clusters.phases import Phase
from controlplane.provisioners import registry
from controlplane.provisioners.base import Temporary
from controlplane.work.claim import Claimed
from controlplane.work.loop import Later
from tenants.models import Tenant, TenantState
from tenants.services import tenant_deleted

RETRY_SECONDS = 5.0


def reconcile_tenant(claimed: Claimed) -> float | None:
    """Seconds until the next look; None: at rest."""
    tenant = Tenant.objects.filter(id=claimed.key).first()
    if tenant is None or tenant.state != TenantState.DELETING:
        return None
    if Cluster.objects.filter(tenant=tenant).exclude(phase=Phase.DELETED).exists():
        return RETRY_SECONDS
    try:
        for site in Site.objects.all():
            registry.provisioner(site.kind, site.name, settings.DATA_DIR / "sites").remove_tenant(tenant.id)
    except Temporary as error:
        raise Later(error.delay) from error
    tenant_deleted(tenant_id=tenant.id)
    return None
