"""The complete inventory of a site, compared with the rows of its clusters.

It makes up for events that were lost, finds what no node accounts for, and lets clusters rest without a look of their
own.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError, transaction
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
from controlplane.reconciler.node_names import orphan_volumes, parse_node_names
from controlplane.reconciler.site import drift
from controlplane.reconciler.site.observations import replace_observations
from controlplane.reconciler.site.queries import database_now, missing_clusters, set_observed_at
from controlplane.reconciler.timing import QUIET
from controlplane.work.models import Kind
from controlplane.work.wake import wake
from templates.stored import launch_from_json
from tenants.models import Tenant, TenantState

log = structlog.get_logger(__name__)

BATCH = 200
_COLUMNS = ("id", "tenant_id", "phase", "observed_at")


def compare(site: Site, provisioner: Provisioner) -> int:
    """List the site and store what is news. Returns the number of clusters with news.

    Raises Temporary or Permanent when a part could not be listed. The parts that could be are stored nevertheless.
    """
    at = database_now()
    found: list[FoundCluster] = []
    drifted: list[UUID] = []
    errors: list[Temporary | Permanent] = []
    try:
        # What came before an error is kept.
        for item in provisioner.list_all():
            if isinstance(item, DriftedTenant):
                drifted.append(item.tenant_id)
            else:
                found.append(item)
        missing = missing_clusters(site.id, {item.cluster_id for item in found}, at)
        found += [
            FoundCluster(cluster, tenant, ClusterObservation(exists=False)) for cluster, tenant in missing
        ]
    except (Temporary, Permanent) as error:
        errors.append(error)
    news = sum(_try(site, found[start : start + BATCH], at) for start in range(0, len(found), BATCH))
    news += sum(drift.cluster_drifted(site, item, before=at) for item in found if item.drift)
    # The isolation of a tenant that is being deleted goes with its namespace.
    deleted = [TenantState.DELETING, TenantState.DELETED]
    for tenant in Tenant.objects.filter(id__in=drifted).exclude(state__in=deleted):
        try:
            drift.repair_tenant(site, provisioner, tenant)
        except (Temporary, Permanent) as error:
            errors.append(error)
    if errors:
        raise errors[0]
    set_observed_at(site.id, at, quiet=QUIET, transient=TRANSIENT)
    log.debug("site_listed", site=site.name, clusters=len(found), news=news)
    return news


def _try(site: Site, batch: Sequence[FoundCluster], at: datetime) -> int:
    """Compare a batch. If one of its clusters cannot be compared, it is put in doubt, and the others are compared."""
    try:
        return _compare(site, batch, at)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        if len(batch) > 1:
            return sum(_try(site, [item], at) for item in batch)
        [odd] = batch
        log.exception("cluster_not_compared", site=site.name, cluster=str(odd.cluster_id))
        with transaction.atomic():
            _wake(Cluster.objects.filter(id=odd.cluster_id, site=site), doubted={odd.cluster_id})
        return 0


def _compare(site: Site, batch: Sequence[FoundCluster], at: datetime) -> int:
    found = {item.cluster_id: item.observed for item in batch}
    known = {row.id: row for row in Cluster.objects.filter(id__in=found, site=site).only(*_COLUMNS)}
    for unknown in found.keys() - known.keys():
        # This database may be older than the cluster, after a restore: the cluster is logged and never removed.
        log.warning("unknown_cluster", site=site.name, cluster=str(unknown))
    # A cluster that was observed after the listing began is newer than the listing.
    found = {
        row.id: found[row.id] for row in known.values() if row.observed_at is None or row.observed_at < at
    }
    doubted = _doubted(known, found)
    with transaction.atomic():
        news = replace_observations(found, before=at) | doubted
        _wake([known[cluster] for cluster in sorted(news)], doubted=doubted)
    return len(news)


def _wake(clusters: Collection[Cluster], *, doubted: Collection[UUID]) -> None:
    """doubted: their next pass looks for itself, also if they rest."""
    if doubted:
        Cluster.objects.filter(id__in=doubted).update(observed_at=None, revision=F("revision") + 1)
    for cluster in clusters:
        wake(Kind.CLUSTER, cluster.id, tenant_id=cluster.tenant_id)


def _doubted(known: Mapping[UUID, Cluster], found: Mapping[UUID, ClusterObservation]) -> set[UUID]:
    """The clusters with something at the site that should not be there and that node observations do not show:
    volumes without a node, and anything of a deleted cluster.
    """
    nodes: dict[UUID, set[str]] = {cluster: set() for cluster, observed in found.items() if observed.volumes}
    for cluster_id, name in Node.objects.filter(cluster_id__in=nodes).values_list("cluster_id", "name"):
        nodes[cluster_id].add(name)

    def has_orphan_volumes(cluster: Cluster) -> bool:
        names = nodes.get(cluster.id, set())
        left = found[cluster.id].volumes - names
        if not left:
            return False
        # The launch is parsed only where a volume has no node.
        groups = (group.name for group in launch_from_json(cluster.effective).groups)
        return bool(orphan_volumes(parse_node_names(left), groups, names))

    return {
        cluster_id
        for cluster_id, observed in found.items()
        if (known[cluster_id].phase == Phase.DELETED and observed.exists)
        or (known[cluster_id].phase == Phase.READY and has_orphan_volumes(known[cluster_id]))
    }
