"""All that is on a site, held against the rows: it makes up for lost news, finds what nobody meant, and lets clusters
rest without a call of their own.
"""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F
from django.utils import timezone

from controlplane.clusters.models import Cluster, Node, Site
from controlplane.clusters.phases import Phase
from controlplane.provisioners.base import Found, Observed, Permanent, Provisioner, Temporary
from controlplane.reconciler.observations import replace_all
from controlplane.reconciler.plan import QUIET
from controlplane.work.models import Kind
from controlplane.work.wake import wake

log = structlog.get_logger(__name__)

BATCH = 200

_MISSING = """
SELECT DISTINCT c.id, c.tenant_id FROM clusters_observation o JOIN clusters_cluster c ON c.id = o.cluster_id
 WHERE c.site_id = %s AND o.state <> 'gone' AND o.seen_at < %s AND c.id <> ALL(%s::uuid[])
"""
# Whom a pass or a service holds is not waiting to rest.
_LOOKED_AT = """
UPDATE clusters_cluster SET looked_at = %(at)s WHERE id IN (
    SELECT id FROM clusters_cluster
     WHERE site_id = %(site)s AND acted_at + %(quiet)s::interval BETWEEN looked_at AND %(at)s
       FOR NO KEY UPDATE SKIP LOCKED
)
"""


def compare(site: Site, provisioner: Provisioner) -> int:
    """How many clusters had news. Raises Temporary, Permanent: then what could be listed was compared."""
    began, at = time.monotonic(), timezone.now()
    news = sum(_try(site, batch, at) for batch in _batches(_listed(site, provisioner, at)))
    with connection.cursor() as cursor:
        cursor.execute(_LOOKED_AT, {"at": at, "site": site.id, "quiet": str(QUIET)})
    log.debug("site_listed", site=site.name, news=news, seconds=round(time.monotonic() - began, 3))
    return news


def _listed(site: Site, provisioner: Provisioner, at: datetime) -> Iterator[Found]:
    """What is there, and then what is not, although it was seen before the listing began."""
    found: set[UUID] = set()
    for each in provisioner.list_all():
        found.add(each.cluster_id)
        yield each
    yield from _missing(site, found, at)


def _batches(found: Iterable[Found]) -> Iterator[list[Found]]:
    """Never empty."""
    batch: list[Found] = []
    try:
        for each in found:
            batch.append(each)
            if len(batch) == BATCH:
                yield batch
                batch = []
    except (Temporary, Permanent):
        # It comes at the end, and hides nothing of what was found.
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _missing(site: Site, found: Collection[UUID], at: datetime) -> list[Found]:
    with connection.cursor() as cursor:
        cursor.execute(_MISSING, [site.id, at, list(found)])
        return [Found(cluster, tenant, Observed(exists=False)) for cluster, tenant in cursor.fetchall()]


def _try(site: Site, batch: Sequence[Found], at: datetime) -> int:
    """One cluster that cannot be compared must not hide the others."""
    try:
        return _compare(site, batch, at)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        if len(batch) > 1:
            return sum(_try(site, [each], at) for each in batch)
        log.exception("cluster_not_compared", site=site.name, cluster=str(batch[0].cluster_id))
        return 0


def _compare(site: Site, batch: Sequence[Found], at: datetime) -> int:
    seen = {each.cluster_id: each.observed for each in batch}
    known = {
        row.id: row for row in Cluster.objects.filter(id__in=seen, site=site).only("id", "tenant_id", "phase")
    }
    for stranger in seen.keys() - known.keys():
        # Perhaps this database is older than the cluster: it is shown, never removed.
        log.warning("unknown_cluster", site=site.name, cluster=str(stranger))
    seen = {cluster: seen[cluster] for cluster in known}
    doubted = _doubted(known, seen)
    with transaction.atomic():
        news = replace_all(seen, before=at) | doubted
        if doubted:
            # Rested for good, they would not look any more.
            Cluster.objects.filter(id__in=doubted).update(looked_at=None, revision=F("revision") + 1)
        for cluster in sorted(news):
            wake(Kind.CLUSTER, cluster, tenant_id=known[cluster].tenant_id)
    return len(news)


def _doubted(known: Mapping[UUID, Cluster], seen: Mapping[UUID, Observed]) -> set[UUID]:
    """The clusters of which something is there that nobody meant, as far as nodes do not tell it."""
    named: dict[UUID, set[str]] = {cluster: set() for cluster, observed in seen.items() if observed.volumes}
    for cluster, name in Node.objects.filter(cluster_id__in=named).values_list("cluster_id", "name"):
        named[cluster].add(name)
    return {
        cluster
        for cluster, observed in seen.items()
        if (known[cluster].phase == Phase.DELETED and observed.exists)
        or (known[cluster].phase == Phase.READY and observed.volumes - named.get(cluster, set()))
    }
