"""What a cluster claims of its tenant's limits before, during and after a change."""

from dataclasses import replace

from controlplane.clusters.models import Cluster
from controlplane.clusters.phases import Phase, Verb
from templates.schema import Launch
from tenants.amounts import Amounts

__all__ = ["Amounts", "ceiling", "held_after", "needed", "with_stored"]


def ceiling(one: Launch, other: Launch) -> Amounts:
    """The most that is held while one launch becomes the other: every group at its larger count."""
    counts = {group.name: group.count for group in other.groups}
    groups = tuple(replace(g, count=max(g.count, counts.get(g.name, 0))) for g in one.groups)
    return replace(one, groups=groups).takes


def needed(cluster: Cluster, verb: Verb, before: Launch, after: Launch) -> Amounts:
    """What must be claimed before the verb begins."""
    resting = verb is Verb.RESIZE and cluster.phase == Phase.STOPPED
    return with_stored(after.keeps if resting else ceiling(before, after), cluster)


def held_after(cluster: Cluster, verb: Verb, after: Launch) -> Amounts:
    """What is claimed once the verb is done. Volumes of removed nodes are gone then, unless the cluster is stopped."""
    if verb is Verb.DELETE:
        return Amounts()
    if verb is Verb.STOP or (verb in {Verb.RESIZE, Verb.CONFIGURE} and cluster.phase == Phase.STOPPED):
        return with_stored(after.keeps, cluster)
    return after.takes


def with_stored(amounts: Amounts, cluster: Cluster) -> Amounts:
    """The amounts with at least the storage of the volumes that still exist."""
    return replace(amounts, storage=max(amounts.storage, cluster.stored))
