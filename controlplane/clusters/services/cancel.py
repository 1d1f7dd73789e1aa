from uuid import UUID

from django.db import transaction

from controlplane.clusters.access import cluster_for, operate
from controlplane.clusters.models import Cluster, Operation
from controlplane.clusters.models.operation import LIVE, State
from controlplane.clusters.operations import operation_begin, operation_end
from controlplane.clusters.phases import Goal, Verb
from controlplane.clusters.services.verbs import resized, with_counts
from controlplane.work.models import Kind
from controlplane.work.wake import wake
from tenants import audit
from tenants.access import Access
from tenants.errors import Conflict, NotFound

# A cancelled create or start becomes a stop; a cancelled resize keeps the nodes that exist. Others cannot be cancelled.
CANCELLABLE = frozenset({Verb.CREATE, Verb.START, Verb.RESIZE})


@transaction.atomic
def operation_cancel(*, access: Access, operation: UUID) -> Operation:
    """Cancel a live operation, in a new generation of the cluster. A cancelled operation is returned as it is.

    Raises NotFound, NeedsRole, Conflict WRONG_PHASE.
    """
    cluster_id = Operation.objects.filter(id=operation, cluster__tenant=access.tenant).values_list(
        "cluster", flat=True
    )
    if not cluster_id:
        raise NotFound()
    cluster = cluster_for(access, cluster_id[0], lock=True)
    operate(access, cluster)
    found = cluster.operations.get(id=operation)
    if found.state == State.CANCELLED:
        return found
    if found.state not in LIVE:
        raise Conflict("WRONG_PHASE", f"The operation has {found.state}; there is nothing to cancel.")
    if found.kind not in CANCELLABLE:
        raise Conflict("WRONG_PHASE", f"A {found.kind} cannot be cancelled; it goes on until it is done.")
    operation_end(
        found, State.CANCELLED, reason="CANCELLED", message=f"Cancelled by {access.actor.username}."
    )
    _move_on(access, cluster, found)
    found.refresh_from_db()
    return found


def _move_on(access: Access, cluster: Cluster, cancelled: Operation) -> None:
    cluster.generation += 1
    cluster.revision += 1
    if cancelled.kind == Verb.RESIZE:
        kept = resized(cluster.launch, _counts(cluster))
        cluster.requested = with_counts(cluster.requested, cluster.launch, kept)
        cluster.launch = kept
    else:
        cluster.goal = Goal.STOPPED
    cluster.save(update_fields=["generation", "revision", "requested", "effective", "goal"])
    if cancelled.kind != Verb.RESIZE:
        operation_begin(cluster, verb=Verb.STOP, actor=access.actor.username)
    audit.record(
        actor=access.actor,
        verb="operation.cancel",
        target=f"cluster/{cluster.name}",
        tenant=access.tenant,
        detail={"kind": cancelled.kind},
    )
    wake(Kind.CLUSTER, cluster.id, tenant_id=cluster.tenant_id)


def _counts(cluster: Cluster) -> dict[str, int]:
    """How many nodes of each group exist and stay, but at least as many as the group must have."""
    counts = dict.fromkeys((group.name for group in cluster.launch.groups), 0)
    for group, confirmed, leaving in cluster.nodes.values_list("group", "confirmed", "leaving"):
        counts[group] += confirmed and not leaving
    # Never above the count of the launch, which was admitted.
    minimum = {group.name: min(group.count, max(1, group.min_count)) for group in cluster.launch.groups}
    return {group: max(count, minimum[group]) for group, count in counts.items()}
