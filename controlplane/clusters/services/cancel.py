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
from templates.stored import launch_from_json, launch_to_json
from tenants import audit
from tenants.access import Access
from tenants.errors import Conflict, NotFound

# A cancelled create or start becomes a stop; a cancelled resize keeps the nodes that exist. The others go on.
CANCELLABLE = frozenset({Verb.CREATE, Verb.START, Verb.RESIZE})


@transaction.atomic
def operation_cancel(*, access: Access, operation: UUID) -> Operation:
    """Give up a live operation; the cluster moves on to a new generation, never a step back.

    Raises NotFound, NeedsRole, Conflict WRONG_PHASE. Cancelling what was cancelled answers with it.
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
        current = launch_from_json(cluster.effective)
        kept = resized(current, _counts(cluster))
        cluster.requested = with_counts(cluster.requested, current, kept)
        cluster.effective = launch_to_json(kept)
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
    """How many nodes of each group exist and stay."""
    counts: dict[str, int] = {group["name"]: 0 for group in cluster.effective["groups"]}
    for group, seen, leaving in cluster.nodes.values_list("group", "confirmed", "leaving"):
        counts[group] += seen and not leaving
    # Never above what was asked for, and so admitted.
    groups = launch_from_json(cluster.effective).groups
    minimum = {group.name: min(group.count, max(1, group.min_count)) for group in groups}
    return {group: max(count, minimum[group]) for group, count in counts.items()}
