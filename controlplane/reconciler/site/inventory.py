"""All that is on a site, held against the rows: it makes up for lost news, finds what nobody meant, and lets clusters
rest without a call of their own.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F

from controlplane.clusters.models import Cluster, Node, Site
from controlplane.clusters.phases import TRANSIENT, Phase
from controlplane.provisioners.base import (
    ClusterObservation,
    DriftedTenant,
    FoundCluster,
    Permanent,
    Provisioner,
    Temporary,
)
from controlplane.reconciler.cluster.plan import QUIET
from controlplane.reconciler.cluster.planned_nodes import unmeant
from controlplane.reconciler.cluster.queries import database_now
from controlplane.reconciler.site import drift
from controlplane.reconciler.site.observations import replace_all
from controlplane.work.models import Kind
from controlplane.work.wake import wake
from templates.stored import launch_from_json
from tenants.models import Tenant, TenantState

log = structlog.get_logger(__name__)

BATCH = 200
_NEEDED = ("id", "tenant_id", "phase", "observed_at")

_MISSING = """
SELECT DISTINCT c.id, c.tenant_id FROM clusters_observation o JOIN clusters_cluster c ON c.id = o.cluster_id
 WHERE c.site_id = %s AND o.state <> 'gone' AND o.observed_at < %s AND c.id <> ALL(%s::uuid[])
"""
# Who waits for this to rest, and who waits for something to happen there. Whom somebody holds is left out.
_OBSERVED_AT = """
UPDATE clusters_cluster SET observed_at = %(at)s, revision = revision + 1 WHERE id IN (
    SELECT id FROM clusters_cluster
     WHERE site_id = %(site)s AND observed_at < %(at)s
       AND (last_write_at + %(quiet)s::interval BETWEEN observed_at AND %(at)s OR phase = ANY(%(transient)s))
       FOR NO KEY UPDATE SKIP LOCKED
)
"""


def compare(site: Site, provisioner: Provisioner) -> int:
    """How many clusters had news. Raises Temporary, Permanent: then what could be listed was compared all the same."""
    at = database_now()
    found: list[FoundCluster] = []
    suspects: list[DriftedTenant] = []
    troubles: list[Temporary | Permanent] = []
    try:
        # What came before an error stays.
        for each in provisioner.list_all():
            if isinstance(each, DriftedTenant):
                suspects.append(each)
            else:
                found.append(each)
        found += _missing(site, {each.cluster_id for each in found}, at)
    except (Temporary, Permanent) as error:
        troubles.append(error)
    news = sum(_try(site, found[start : start + BATCH], at) for start in range(0, len(found), BATCH))
    news += sum(drift.run_drifted(site, each, before=at) for each in found if each.drift)
    troubles += _repair(site, provisioner, [suspect.tenant_id for suspect in suspects])
    if troubles:
        raise troubles[0]
    with connection.cursor() as cursor:
        waiting: dict[str, Any] = {"quiet": str(QUIET), "transient": sorted(TRANSIENT)}
        cursor.execute(_OBSERVED_AT, {"at": at, "site": site.id, **waiting})
    log.debug("site_listed", site=site.name, clusters=len(found), news=news)
    return news


def _repair(
    site: Site, provisioner: Provisioner, suspects: Sequence[UUID]
) -> Iterator[Temporary | Permanent]:
    """What kept a fence from being repaired. That of a tenant that is on its way out goes with its namespace."""
    alive = Tenant.objects.filter(id__in=suspects).exclude(
        state__in=[TenantState.DELETING, TenantState.DELETED]
    )
    for tenant in alive:
        try:
            drift.repair_fence(site, provisioner, tenant)
        except (Temporary, Permanent) as error:
            yield error


def _missing(site: Site, found: Collection[UUID], at: datetime) -> list[FoundCluster]:
    """What was seen there before the listing began and is not in it."""
    with connection.cursor() as cursor:
        cursor.execute(_MISSING, [site.id, at, list(found)])
        return [
            FoundCluster(cluster, tenant, ClusterObservation(exists=False))
            for cluster, tenant in cursor.fetchall()
        ]


def _try(site: Site, batch: Sequence[FoundCluster], at: datetime) -> int:
    """One cluster that cannot be compared must not hide the others; what was seen of it is doubted."""
    try:
        return _compare(site, batch, at)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        if len(batch) > 1:
            return sum(_try(site, [each], at) for each in batch)
        [odd] = batch
        log.exception("cluster_not_compared", site=site.name, cluster=str(odd.cluster_id))
        with transaction.atomic():
            _wake(Cluster.objects.filter(id=odd.cluster_id, site=site), doubted={odd.cluster_id})
        return 0


def _compare(site: Site, batch: Sequence[FoundCluster], at: datetime) -> int:
    seen = {each.cluster_id: each.observed for each in batch}
    known = {row.id: row for row in Cluster.objects.filter(id__in=seen, site=site).only(*_NEEDED)}
    for stranger in seen.keys() - known.keys():
        # Perhaps this database is older than the cluster: it is shown, never removed.
        log.warning("unknown_cluster", site=site.name, cluster=str(stranger))
    # Who was looked at since knows better.
    seen = {row.id: seen[row.id] for row in known.values() if row.observed_at is None or row.observed_at < at}
    doubted = _doubted(known, seen)
    with transaction.atomic():
        news = replace_all(seen, before=at) | doubted
        _wake([known[cluster] for cluster in sorted(news)], doubted=doubted)
    return len(news)


def _wake(clusters: Collection[Cluster], *, doubted: Collection[UUID]) -> None:
    """Those of which something is doubted look for themselves, also when they were at rest."""
    if doubted:
        Cluster.objects.filter(id__in=doubted).update(observed_at=None, revision=F("revision") + 1)
    for cluster in clusters:
        wake(Kind.CLUSTER, cluster.id, tenant_id=cluster.tenant_id)


def _doubted(known: Mapping[UUID, Cluster], seen: Mapping[UUID, ClusterObservation]) -> set[UUID]:
    """The clusters of which something is there that nobody meant, as far as nodes do not tell it."""
    nodes: dict[UUID, set[str]] = {cluster: set() for cluster, observed in seen.items() if observed.volumes}
    for cluster, name in Node.objects.filter(cluster_id__in=nodes).values_list("cluster_id", "name"):
        nodes[cluster].add(name)
    return {
        cluster
        for cluster, observed in seen.items()
        if _is_odd(known[cluster], observed, nodes.get(cluster, set()))
    }


def _is_odd(cluster: Cluster, observed: ClusterObservation, nodes: Collection[str]) -> bool:
    """Its launch is read only where a volume has no node."""
    if cluster.phase == Phase.DELETED:
        return observed.exists
    left = observed.volumes.difference(nodes)
    return bool(cluster.phase == Phase.READY and left and unmeant(left, _groups(cluster), nodes))


def _groups(cluster: Cluster) -> list[str]:
    return [group.name for group in launch_from_json(cluster.effective).groups]
