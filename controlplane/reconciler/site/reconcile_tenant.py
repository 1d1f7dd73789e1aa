"""What a tenant leaves on the sites goes once nothing of it is held any more."""

import structlog

from controlplane.clusters.models import Cluster, Site
from controlplane.clusters.phases import Phase
from controlplane.provisioners.base import Permanent, SiteUnknown, Temporary
from controlplane.provisioners.kubernetes.settings import SettingsInvalid
from controlplane.reconciler.site.provisioning import provisioner_of
from controlplane.work.claim import Claimed
from controlplane.work.loop import RetryLater
from tenants.models import Tenant, TenantState
from tenants.services import tenant_deleted

log = structlog.get_logger(__name__)

RETRY_SECONDS = 5.0
REFUSED_SECONDS = 30.0


def reconcile_tenant(claimed: Claimed) -> float | None:
    """Seconds until the next look; None: at rest."""
    tenant = Tenant.objects.filter(id=claimed.key).first()
    if tenant is None or tenant.state != TenantState.DELETING:
        return None
    if Cluster.objects.filter(tenant=tenant).exclude(phase=Phase.DELETED).exists():
        return RETRY_SECONDS
    # Where none of its clusters ever was, there is nothing of it.
    used = Site.objects.filter(id__in=Cluster.objects.filter(tenant=tenant).values("site"))
    troubles = [trouble for site in used if (trouble := _remove(site, tenant))]
    for trouble in troubles:
        log.warning(
            "tenant_not_removed", tenant=tenant.name, reason=trouble.reason, error=trouble.message[:200]
        )
    if troubles:
        raise RetryLater(min(trouble.delay for trouble in troubles)) from troubles[0]
    tenant_deleted(tenant_id=tenant.id)
    return None


def _remove(site: Site, tenant: Tenant) -> Temporary | None:
    """What kept it from going; one site that is away must not keep it on the others."""
    try:
        provisioner_of(site).remove_tenant(tenant.id)
    except Temporary as error:
        return error
    except SettingsInvalid as error:
        return SiteUnknown("SITE_SETTINGS", str(error), delay=RETRY_SECONDS)
    except Permanent as error:
        # A webhook's refusal, for one: nothing is known to be gone.
        return Temporary(error.reason, error.message, delay=REFUSED_SECONDS)
    return None
