"""Drift: recorded, audited, repaired, and the verdict that the site isolates tenants is taken back."""

from collections.abc import Sequence
from datetime import datetime

import structlog
from django.db import transaction
from django.db.models import F

from controlplane.clusters.models import Cluster, Site
from controlplane.clusters.phases import Phase
from controlplane.metrics import instruments
from controlplane.provisioners.base import Drift, FoundCluster, Provisioner
from controlplane.reconciler.site.queries import event_write
from controlplane.work.models import Kind
from controlplane.work.wake import wake
from tenants import audit
from tenants.actors import system_actor
from tenants.models import Limit, Tenant

log = structlog.get_logger(__name__)

# Tenants are isolated from one another only while these are as they were written.
ISOLATING = frozenset({"Namespace", "NetworkPolicy"})
# A cluster is applied, and its drift repaired, in these phases only.
REPAIRED_IN = (Phase.STARTING, Phase.READY, Phase.RESIZING)


def repair_tenant(site: Site, provisioner: Provisioner, tenant: Tenant) -> None:
    """Raises Temporary or Permanent; the verdict of isolation is taken back even then."""
    limit = Limit.objects.get(tenant=tenant, user=None)
    try:
        found = provisioner.ensure_tenant(tenant.pk, tenant.name, limit.limits)
    except Exception:
        words = f"The isolation of {tenant.name} was changed outside Slipway and could not be repaired yet."
        withdraw_isolation(site, words)
        raise
    tenant_repaired(site, tenant, found)


def tenant_repaired(site: Site, tenant: Tenant, found: Sequence[Drift]) -> None:
    """found: what `ensure_tenant` repaired."""
    if found:
        _report(site, tenant, f"tenant/{tenant.name}", found)


@transaction.atomic
def cluster_drifted(site: Site, found: FoundCluster, *, before: datetime) -> bool:
    """Record the drift of a cluster. Its next pass repairs it. Returns whether the drift is news.

    before: when the listing began that found the drift. A later write to the cluster may have repaired it.
    """
    cluster = Cluster.objects.select_for_update(no_key=True).filter(id=found.cluster_id, site=site).first()
    words = [str(item) for item in found.drift]
    if cluster is None or cluster.run != found.run or cluster.phase not in REPAIRED_IN:
        return False
    if cluster.drift == words or (cluster.last_write_at is not None and cluster.last_write_at >= before):
        return False
    Cluster.objects.filter(id=cluster.id).update(drift=words, revision=F("revision") + 1)
    event_write(cluster.id, "DRIFT_FOUND", f"{'; '.join(words)}.")
    wake(Kind.CLUSTER, cluster.id, tenant_id=cluster.tenant_id)
    _report(site, cluster.tenant, f"cluster/{cluster.name}", found.drift)
    return True


@transaction.atomic
def _report(site: Site, tenant: Tenant, target: str, found: Sequence[Drift]) -> None:
    words = [str(item) for item in found]
    log.warning("drift", site=site.name, tenant=tenant.name, target=target, found=words)
    for item in found:
        instruments.DRIFT.labels(site.name, item.kind, item.how).inc()
    audit.record(
        actor=system_actor(),
        verb="site.repair",
        target=target,
        tenant=tenant,
        detail={"site": site.name, "found": words},
    )
    if any(item.kind in ISOLATING for item in found):
        withdraw_isolation(site, f"{target}: {'; '.join(words)}.")


def withdraw_isolation(site: Site, why: str) -> None:
    """Take back the verdict that the site isolates tenants, until `site check` proves it again."""
    Site.objects.filter(id=site.id).exclude(isolation="none").update(
        isolation="unknown", proof=f"{why} Prove it again by site check {site.name}."[:1000], proved_at=None
    )
