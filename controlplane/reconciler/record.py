"""Writing down what a pass decided, in the transaction of the loop: rows, events, the operation and the claim."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from controlplane.clusters.amounts import with_stored
from controlplane.clusters.models import Cluster, Node, Operation
from controlplane.clusters.models import Step as StepRow
from controlplane.clusters.models.operation import State
from controlplane.clusters.operations import operation_begin, operation_end, operation_run
from controlplane.clusters.phases import GOAL_OF, MOVES, Phase, Verb
from controlplane.clusters.queries.insert import insert
from controlplane.clusters.queries.instances import rows
from controlplane.metrics import instruments
from controlplane.reconciler import reports
from controlplane.reconciler.observations import forget_cluster
from controlplane.reconciler.rows import (
    NODE_FIELDS,
    cluster_write,
    event_write,
    nodes_write,
    parts_write,
)
from controlplane.reconciler.scope import Scope
from controlplane.reconciler.steps import progress
from controlplane.reconciler.view import READS, Act, Place, Step, View
from tenants import quota
from tenants.amounts import Amounts
from tenants.models import Claim


class Stale(Exception):  # noqa: N818
    """The cluster was changed since it was read: read it again."""


class ForbiddenMove(Exception):  # noqa: N818
    """A step asked for a move that the table does not have: a defect, never stored."""


def record(scope: Scope, step: Step) -> tuple[Scope, bool]:
    """Store a step, in the caller's transaction: the rows as they are then, and whether anything is different.

    The instances are changed on the way: who rolls back reads them again. Raises Stale.
    """
    different = _cluster(scope, step)
    nodes, others = _nodes(scope, step)
    different |= others
    if _unasked(scope, step):
        operation = operation_begin(scope.cluster, verb=Verb.START, actor="system")
        return replace(scope, nodes=nodes, operation=operation, parts=tuple(operation.steps.all())), True
    live, told = _operation(scope, step)
    return replace(scope, nodes=nodes, operation=live), different or told


def _unasked(scope: Scope, step: Step) -> bool:
    """A run that no operation asked for, such as after a suspension: it gets one, to be watched and to have an end."""
    return step.run > scope.view.run and scope.operation is None


def _cluster(scope: Scope, step: Step) -> bool:
    cluster, view = scope.cluster, scope.view
    changes = {
        name: value for name, value in _columns(scope, step).items() if getattr(cluster, name) != value
    }
    if not changes:
        return False
    if step.phase != view.phase and step.phase not in MOVES[view.phase]:
        raise ForbiddenMove(f"{view.phase} to {step.phase}")
    if not cluster_write(cluster, changes):
        raise Stale
    if view.drift and "drift" in changes and step.run == view.run:
        event_write(cluster.id, "DRIFT_REPAIRED", f"Written again: {'; '.join(view.drift)}."[:1000])
    if step.phase != view.phase:
        message = step.message or f"From {view.phase} to {step.phase}."
        event_write(cluster.id, f"PHASE_{step.phase.upper()}", message[:1000])
    return True


def _columns(scope: Scope, step: Step) -> dict[str, Any]:
    """Every column that the reconciler owns, as it is to be."""
    cluster, view = scope.cluster, scope.view
    writes = step.act is not None and step.act not in READS
    columns: dict[str, Any] = {
        "phase": step.phase,
        "run": step.run,
        "used_attempts": _used_attempts(scope, step),
        "draining": _draining(scope, step),
        "link_version_given": view.link_version_given,
        "stored": _stored(scope, step),
        "reason": step.reason[:64],
        "message": step.message[:1000],
        "conditions": conditions(cluster, step, view.now),
    }
    if step.settled or step.failed:
        columns["observed_generation"] = view.generation
    if _unasked(scope, step):
        columns["observed_generation"] = view.generation - 1
    if step.isolated:
        columns["isolated_run"] = step.run
    if view.drift and (step.run != view.run or _is_mended(view, step)):
        columns["drift"] = []
    if step.last_action and step.last_action == view.told:
        columns |= {"last_action": step.last_action, "last_action_at": view.now}
    if writes:
        columns["last_write_at"] = view.now
    if view.fresh:
        columns["observed_at"] = view.observed_at
    elif writes and cluster.last_write_at is None:
        columns["observed_at"] = view.now
    if step.phase is Phase.READY and view.phase is not Phase.READY:
        columns["ready_at"] = view.now
    if step.phase is Phase.DELETED and cluster.deleted_at is None:
        columns["deleted_at"] = view.now
    return columns


def _is_mended(view: View, step: Step) -> bool:
    """Whether the site was told, in this pass, to write again what was drift."""
    return step.last_action == view.told and step.last_action.startswith(f"{Act.APPLY}:")


def _used_attempts(scope: Scope, step: Step) -> dict[str, int]:
    """The last attempts of the names that are free, so that whoever gets such a name next is not taken for them."""
    if step.run != scope.view.run:
        return {}
    kept = {place.name for place in step.places}
    return {
        **scope.cluster.used_attempts,
        **{p.name: p.attempt for p in scope.view.places if p.name not in kept},
    }


def _draining(scope: Scope, step: Step) -> list[str]:
    """Kept beyond the run: whoever stops in the middle of a shrink does not mean to keep the wrong half."""
    leaving = {place.name for place in (*scope.view.places, *step.places) if place.leaving}
    staying = {place.name for place in step.places if not place.leaving}
    return sorted((scope.view.draining | leaving) - staying)


def _stored(scope: Scope, step: Step) -> int:
    """Less than before only once no more volumes are seen, or when nothing is left to be told of those that go."""
    before = scope.cluster.stored
    if step.phase is Phase.STOPPED and scope.view.fresh:
        each = {group.name: group.each.storage for group in scope.launch.groups}
        return sum(each.get(name.rpartition("-")[0], 0) for name in scope.view.volumes)
    if step.phase in {Phase.STOPPING, Phase.STOPPED, Phase.DELETING, Phase.DELETED}:
        return before
    held = _held(scope, step).storage
    return held if step.phase is Phase.READY and step.act is None else max(held, before)


def conditions(cluster: Cluster, step: Step, now: datetime) -> list[dict[str, Any]]:
    """Ready and Degraded, each with since when it is so."""
    ready = step.phase is Phase.READY
    found = {
        "Ready": (ready, "" if ready else step.reason, "" if ready else step.message),
        "Degraded": (
            ready and bool(step.reason),
            step.reason if ready else "",
            step.message if ready else "",
        ),
    }
    before = {condition["type"]: condition for condition in cluster.conditions}
    return [
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "at": _since(before.get(kind), status, now),
        }
        for kind, (status, reason, message) in found.items()
    ]


def _since(before: dict[str, Any] | None, status: bool, now: datetime) -> str:
    return before["at"] if before and before["status"] == status else now.isoformat()


def _nodes(scope: Scope, step: Step) -> tuple[tuple[Node, ...], bool]:
    """As they are then, and whether anything about them is different."""
    found = {node.name: node for node in scope.nodes}
    kept = {place.name for place in step.places}
    gone = [name for name in found if name not in kept]
    new = [_node(scope.cluster, place) for place in step.places if place.name not in found]
    changed = [row for place in step.places if (row := found.get(place.name)) and _apply(row, place)]
    if gone:
        Node.objects.filter(cluster=scope.cluster, name__in=gone).delete()
    if new:
        insert(*new)
    if changed:
        nodes_write(scope.cluster.id, changed)
    if step.phase is Phase.DELETED and scope.view.phase is not Phase.DELETED:
        forget_cluster(scope.cluster.id)
    nodes = (*(row for name, row in found.items() if name in kept), *new)
    return nodes, bool(gone or new or changed)


def _node(cluster: Cluster, place: Place) -> Node:
    node = Node(cluster=cluster, name=place.name, group=place.group, role=place.role, index=place.index)
    _apply(node, place)
    return node


def _apply(row: Node, place: Place) -> bool:
    different = [field for field in NODE_FIELDS if getattr(row, field) != getattr(place, field)]
    for field in different:
        setattr(row, field, getattr(place, field))
    return bool(different)


def _operation(scope: Scope, step: Step) -> tuple[Operation | None, bool]:
    """The live one then, and whether anything about it is different."""
    operation = scope.operation
    if operation is None:
        return None, False
    changed = _advance(operation, scope, step)
    if step.drained:
        operation.report = [*operation.report, *(reports.of(place, scope.view) for place in step.drained)]
        operation.save(update_fields=["report"])
    if operation.state == State.PENDING:
        changed |= operation_run(operation)
    if step.failed:
        operation_end(operation, State.FAILED, reason=step.failed.reason, message=step.failed.message)
    elif step.settled:
        _succeed(operation, scope)
    else:
        return operation, changed
    return None, True


def _succeed(operation: Operation, scope: Scope) -> None:
    """Unless its tenant's state had the last word: then what was asked for did not come about."""
    if GOAL_OF.get(Verb(operation.kind), scope.view.goal) != scope.view.goal:
        state = scope.cluster.tenant.state
        reason, message = f"TENANT_{state.upper()}", f"The tenant is {state}."
        operation_end(operation, State.CANCELLED, reason=reason, message=message)
    else:
        operation_end(operation, State.SUCCEEDED)


def _advance(operation: Operation, scope: Scope, step: Step) -> bool:
    """End the steps that are done, in order; the first that is not is under way."""
    changed: list[StepRow] = []
    start = scope.parts[0].started_at if scope.parts else None
    for row in scope.parts:
        if row.ended_at is None:
            found = progress(row.name, scope.view, step)
            began = row.started_at or start
            if row.started_at != began or row.message != found.message or found.done_at:
                row.started_at, row.message = began, found.message[:1000]
                row.ended_at = max(found.done_at, began) if found.done_at and began else found.done_at
                changed.append(row)
            if row.ended_at is None:
                break
            _measure(operation.kind, row)
        start = row.ended_at
    if changed:
        parts_write(operation.id, changed)
    return bool(changed)


def _measure(kind: str, row: StepRow) -> None:
    if row.started_at and row.ended_at:
        instruments.STEP.labels(kind, row.name).observe((row.ended_at - row.started_at).total_seconds())


def hold(scope: Scope, step: Step) -> None:
    """Keep the claim at what is wanted or still there, whichever is more; the last statements of the transaction.

    Raises QuotaExceeded.
    """
    cluster = scope.cluster
    if step.phase is Phase.DELETED:
        quota.claim_release(owner_id=cluster.id)
        return
    if step.phase in {Phase.STOPPING, Phase.DELETING}:
        return
    wanted = scope.launch.keeps if step.phase is Phase.STOPPED else _held(scope, step)
    wanted = with_stored(wanted, cluster)
    claims = rows(Claim, "owner_id = %s", cluster.id)
    if not claims or claims[0].amounts != wanted:
        quota.claim_set(
            owner_id=cluster.id,
            tenant_id=cluster.tenant_id,
            user_id=cluster.owner_id,
            label=cluster.name,
            site=cluster.site.name,
            amounts=wanted,
        )


def _held(scope: Scope, step: Step) -> Amounts:
    each = {group.name: group.each for group in scope.launch.groups}
    there = sum((each[place.group] for place in step.places), start=Amounts(clusters=1))
    return there.max(scope.launch.takes)
