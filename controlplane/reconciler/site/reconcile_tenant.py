"""One reconcile pass over a tenant that is being deleted: it is removed from its sites after its last cluster."""

import structlog

from controlplane.clusters.models import Cluster, Site
from controlplane.clusters.phases import Phase
from controlplane.provisioners.base import NotYet, Permanent, SiteUnknown
from controlplane.reconciler.site.provisioning import provisioner_of
from controlplane.work.claim import Claimed
from controlplane.work.loop import RetryLater
from tenants.models import Tenant, TenantState
from tenants.services import tenant_deleted

log = structlog.get_logger(__name__)

RETRY_SECONDS = 5.0
REFUSED_SECONDS = 30.0


def reconcile_tenant(claimed: Claimed) -> float | None:
    """Returns the seconds until the next pass; None: rest until woken. Raises RetryLater."""
    tenant = Tenant.objects.filter(id=claimed.key).first()
    if tenant is None or tenant.state != TenantState.DELETING:
        return None
    if Cluster.objects.filter(tenant=tenant).exclude(phase=Phase.DELETED).exists():
        return RETRY_SECONDS
    # A site that never had a cluster of the tenant has nothing of it. A site that does not answer does not keep
    # the tenant on the others.
    used = Site.objects.filter(id__in=Cluster.objects.filter(tenant=tenant).values("site"))
    errors = [error for site in used if (error := _remove(site, tenant))]
    for error in errors:
        log.warning("tenant_not_removed", tenant=tenant.name, reason=error.reason, error=error.message[:200])
    if errors:
        raise RetryLater(min(error.delay for error in errors)) from errors[0]
    tenant_deleted(tenant_id=tenant.id)
    return None


def _remove(site: Site, tenant: Tenant) -> SiteUnknown | NotYet | None:
    """Returns why the tenant could not be removed from the site."""
    try:
        provisioner_of(site).remove_tenant(tenant.id)
    except (SiteUnknown, NotYet) as error:
        return error
    except Permanent as error:
        # Deleting never fails: it is tried again, whatever the site answered.
        return NotYet(error.reason, error.message, delay=REFUSED_SECONDS)
    return None
