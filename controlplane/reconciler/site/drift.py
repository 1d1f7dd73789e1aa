"""What was changed or deleted on a site outside Slipway: told, audited, and taken back what was proved of isolation."""

from collections.abc import Sequence
from datetime import datetime

import structlog
from django.db import transaction
from django.db.models import F

from controlplane.clusters.models import Cluster, Site
from controlplane.clusters.phases import Phase
from controlplane.metrics import instruments
from controlplane.provisioners.base import Drift, FoundCluster, Provisioner
from controlplane.reconciler.cluster.queries import event_write
from controlplane.work.models import Kind
from controlplane.work.wake import wake
from tenants import audit
from tenants.actors import system_actor
from tenants.models import Limit, Tenant

log = structlog.get_logger(__name__)

# Without these as they were written tenants are not shut off from one another.
ISOLATING = frozenset({"Namespace", "NetworkPolicy"})
# Only then is something applied for a cluster.
MENDED_IN = (Phase.STARTING, Phase.READY, Phase.RESIZING)


def repair_fence(site: Site, provisioner: Provisioner, tenant: Tenant) -> None:
    """Raises Temporary, Permanent: then what was proved of the site's isolation is taken back all the same."""
    limit = Limit.objects.get(tenant=tenant, user=None)
    try:
        found = provisioner.ensure_tenant(tenant.pk, tenant.name, limit.limits)
    except Exception:
        take_back(
            site, f"The fence of {tenant.name} was changed outside Slipway and could not be repaired yet."
        )
        raise
    fence_repaired(site, tenant, found)


def fence_repaired(site: Site, tenant: Tenant, found: Sequence[Drift]) -> None:
    if not found:
        return
    _tell(site, tenant, f"tenant/{tenant.name}", found)


@transaction.atomic
def run_drifted(site: Site, each: FoundCluster, *, before: datetime) -> bool:
    """Note what a cluster's nodes need and is not as it was written; its next pass writes it again.

    before: when the listing began that found it. Whatever was done to the cluster since knows better.
    """
    cluster = Cluster.objects.select_for_update(no_key=True).filter(id=each.cluster_id, site=site).first()
    words = [str(difference) for difference in each.drift]
    if cluster is None or cluster.run != each.run or cluster.phase not in MENDED_IN or cluster.drift == words:
        return False
    if cluster.last_write_at is not None and cluster.last_write_at >= before:
        return False
    Cluster.objects.filter(id=cluster.id).update(drift=words, revision=F("revision") + 1)
    event_write(cluster.id, "DRIFT_FOUND", f"{'; '.join(words)}."[:1000])
    wake(Kind.CLUSTER, cluster.id, tenant_id=cluster.tenant_id)
    _tell(site, cluster.tenant, f"cluster/{cluster.name}", each.drift)
    return True


@transaction.atomic
def _tell(site: Site, tenant: Tenant, target: str, found: Sequence[Drift]) -> None:
    words = [str(difference) for difference in found]
    log.warning("drift", site=site.name, tenant=tenant.name, target=target, found=words)
    for difference in found:
        instruments.DRIFT.labels(site.name, difference.kind, difference.how).inc()
    audit.record(
        actor=system_actor(),
        verb="site.repair",
        target=target,
        tenant=tenant,
        detail={"site": site.name, "found": words},
    )
    if any(difference.kind in ISOLATING for difference in found):
        take_back(site, f"{target}: {'; '.join(words)}.")


def take_back(site: Site, why: str) -> None:
    """What was proved of the isolation does not hold any more, or did not for a while; a new proof brings it back."""
    proved = Site.objects.filter(id=site.id).exclude(isolation="none")
    proved.update(
        isolation="unknown", proof=f"{why} Prove it again by site check {site.name}."[:1000], proved_at=None
    )
