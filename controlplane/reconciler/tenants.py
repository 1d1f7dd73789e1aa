"""What a tenant leaves on the sites goes once nothing of it is held any more."""

from controlplane.clusters.models import Cluster, Site
from controlplane.clusters.phases import Phase
from controlplane.provisioners.base import Temporary
from controlplane.reconciler.provisioning import provisioner_of
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
    troubles = [trouble for site in Site.objects.all() if (trouble := _remove(site, tenant))]
    if troubles:
        raise Later(min(trouble.delay for trouble in troubles)) from troubles[0]
    tenant_deleted(tenant_id=tenant.id)
    return None


def _remove(site: Site, tenant: Tenant) -> Temporary | None:
    """What kept it from going; one site that is away must not keep it on the others."""
    try:
        provisioner_of(site).remove_tenant(tenant.id)
    except Temporary as error:
        return error
    return None
