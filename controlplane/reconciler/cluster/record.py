"""Recording a decision in the transaction of the pass: the cluster, its nodes, its events, operation and claim."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from controlplane.clusters.amounts import with_stored
from controlplane.clusters.models import Cluster, Node, Observation, Operation
from controlplane.clusters.models import Step as StepRow
from controlplane.clusters.models.operation import State
from controlplane.clusters.operations import operation_begin, operation_end, operation_run
from controlplane.clusters.phases import GOAL_OF, MOVES, Phase, Verb
from controlplane.clusters.queries.insert import insert
from controlplane.clusters.queries.instances import rows
from controlplane.metrics import instruments
from controlplane.reconciler.cluster.action import ActionKind
from controlplane.reconciler.cluster.queries import NODE_COLUMNS, cluster_write, nodes_write, steps_write
from controlplane.reconciler.cluster.scope import Scope
from controlplane.reconciler.cluster.snapshot import Decision, PlannedNode
from controlplane.reconciler.cluster.steps import drain_report, progress
from controlplane.reconciler.site.queries import event_write
from tenants import quota
from tenants.amounts import Amounts
from tenants.models import Claim


class Stale(Exception):  # noqa: N818
    """The cluster has changed since it was read: read it again."""


class ForbiddenMove(Exception):  # noqa: N818
    """A decision moves to a phase that the table of moves does not allow: a defect. It is never stored."""


def record(scope: Scope, decision: Decision) -> tuple[Scope, bool]:
    """Store a decision in the caller's transaction. Returns the rows as they are then, and whether any has changed.

    The instances of the scope are changed: after a rollback the caller has to read them again. Raises Stale.
    """
    changed = _record_cluster(scope, decision)
    nodes, nodes_changed = _record_nodes(scope, decision)
    if _needs_operation(scope, decision):
        operation = operation_begin(scope.cluster, verb=Verb.START, actor="system")
        return replace(scope, nodes=nodes, operation=operation, steps=tuple(operation.steps.all())), True
    live, operation_changed = _record_operation(scope, decision)
    return replace(scope, nodes=nodes, operation=live), changed or nodes_changed or operation_changed


def _needs_operation(scope: Scope, decision: Decision) -> bool:
    """Whether a run begins without a request, such as after a suspension. Its operation makes it visible."""
    return decision.run > scope.snapshot.run and scope.operation is None


# -- the cluster --------------------------------------------------------------------------------------------------


def _record_cluster(scope: Scope, decision: Decision) -> bool:
    cluster, snapshot = scope.cluster, scope.snapshot
    columns = _cluster_columns(scope, decision)
    changes = {name: value for name, value in columns.items() if getattr(cluster, name) != value}
    if not changes:
        return False
    if decision.phase != snapshot.phase and decision.phase not in MOVES[snapshot.phase]:
        raise ForbiddenMove(f"{snapshot.phase} to {decision.phase}")
    if not cluster_write(cluster, changes):
        raise Stale
    if snapshot.drift and "drift" in changes and decision.run == snapshot.run:
        event_write(cluster.id, "DRIFT_REPAIRED", f"Written again: {'; '.join(snapshot.drift)}.")
    if decision.phase != snapshot.phase:
        message = decision.problem.message or f"From {snapshot.phase} to {decision.phase}."
        event_write(cluster.id, f"PHASE_{decision.phase.upper()}", message)
    return True


def _cluster_columns(scope: Scope, decision: Decision) -> dict[str, Any]:
    """The columns that the reconciler owns, with their new values."""
    cluster, snapshot, executed = scope.cluster, scope.snapshot, decision.executed
    writes = decision.action is not None and not decision.action.reads
    columns: dict[str, Any] = {
        "phase": decision.phase,
        "run": decision.run,
        "used_attempts": _used_attempts(scope, decision),
        "draining": _draining(scope, decision),
        "link_version_given": snapshot.link_version_given,
        "stored": _stored(scope, decision),
        "reason": decision.problem.reason[:64],
        "message": decision.problem.message[:1000],
        "conditions": conditions(cluster, decision, snapshot.now),
    }
    if decision.settled or decision.failed:
        columns["observed_generation"] = snapshot.generation
    if _needs_operation(scope, decision):
        columns["observed_generation"] = snapshot.generation - 1
    if decision.isolated:
        columns["isolated_run"] = decision.run
    repaired = executed is not None and executed.kind is ActionKind.APPLY
    if snapshot.drift and (decision.run != snapshot.run or repaired):
        columns["drift"] = []
    if executed is not None:
        columns |= {"last_action": executed.token, "last_action_at": snapshot.now}
    if writes:
        columns["last_write_at"] = snapshot.now
    if snapshot.fresh:
        columns["observed_at"] = snapshot.observed_at
    elif writes and cluster.last_write_at is None:
        columns["observed_at"] = snapshot.now
    if decision.phase is Phase.READY and snapshot.phase is not Phase.READY:
        columns["ready_at"] = snapshot.now
    if decision.phase is Phase.DELETED and cluster.deleted_at is None:
        columns["deleted_at"] = snapshot.now
    return columns


def _used_attempts(scope: Scope, decision: Decision) -> dict[str, int]:
    """The last attempt of each name that no node has now, so that the next node of that name gets a later one."""
    if decision.run != scope.snapshot.run:
        return {}
    kept = {node.name for node in decision.nodes}
    gone = {node.name: node.attempt for node in scope.snapshot.nodes if node.name not in kept}
    return {**scope.cluster.used_attempts, **gone}


def _draining(scope: Scope, decision: Decision) -> list[str]:
    """Kept beyond the run: after a stop during a shrink, the next run uses the volumes of these names last."""
    leaving = {node.name for node in (*scope.snapshot.nodes, *decision.nodes) if node.leaving}
    staying = {node.name for node in decision.nodes if not node.leaving}
    return sorted((scope.snapshot.draining | leaving) - staying)


def _stored(scope: Scope, decision: Decision) -> int:
    """Bytes of all volumes. Falls only when the volumes were counted, or when the site is left with no more to do."""
    snapshot, before = scope.snapshot, scope.cluster.stored
    if decision.phase is Phase.STOPPED and snapshot.fresh:
        each = {group.name: group.each.storage for group in scope.launch.groups}
        return sum(each.get(name.group, 0) for name in snapshot.volumes)
    if decision.phase in {Phase.STOPPING, Phase.STOPPED, Phase.DELETING, Phase.DELETED}:
        return before
    held = _held(scope, decision).storage
    return held if decision.phase is Phase.READY and decision.action is None else max(held, before)


def conditions(cluster: Cluster, decision: Decision, now: datetime) -> list[dict[str, Any]]:
    """The conditions Ready and Degraded, each with the time at which its status last changed."""
    ready, problem = decision.phase is Phase.READY, decision.problem
    before = {condition["type"]: condition for condition in cluster.conditions}

    def condition(kind: str, status: bool, *, explained: bool) -> dict[str, Any]:
        last = before.get(kind)
        return {
            "type": kind,
            "status": status,
            "reason": problem.reason if explained else "",
            "message": problem.message if explained else "",
            "at": last["at"] if last and last["status"] == status else now.isoformat(),
        }

    return [
        condition("Ready", ready, explained=not ready),
        condition("Degraded", ready and bool(problem.reason), explained=ready),
    ]


# -- its nodes ----------------------------------------------------------------------------------------------------


def _record_nodes(scope: Scope, decision: Decision) -> tuple[tuple[Node, ...], bool]:
    """Returns the rows as they are then, and whether any has changed."""
    found = {row.name: row for row in scope.nodes}
    kept = {node.name for node in decision.nodes}
    gone = [name for name in found if name not in kept]
    new, changed = [], []
    for node in decision.nodes:
        row = found.get(node.name)
        if row is None:
            row = Node(
                cluster=scope.cluster, name=node.name, group=node.group, role=node.role, index=node.index
            )
            _copy(node, row)
            new.append(row)
        elif _copy(node, row):
            changed.append(row)
    if gone:
        Node.objects.filter(cluster=scope.cluster, name__in=gone).delete()
    if new:
        insert(*new)
    if changed:
        nodes_write(scope.cluster.id, changed)
    if decision.phase is Phase.DELETED and scope.snapshot.phase is not Phase.DELETED:
        Observation.objects.filter(cluster_id=scope.cluster.id).delete()
    nodes = (*(row for name, row in found.items() if name in kept), *new)
    return nodes, bool(gone or new or changed)


def _copy(node: PlannedNode, row: Node) -> bool:
    """Returns whether the row has changed."""
    changes = [column for column in NODE_COLUMNS if getattr(row, column) != getattr(node, column)]
    for column in changes:
        setattr(row, column, getattr(node, column))
    return bool(changes)


# -- its operation ------------------------------------------------------------------------------------------------


def _record_operation(scope: Scope, decision: Decision) -> tuple[Operation | None, bool]:
    """Returns the live operation as it is then, and whether anything of it has changed."""
    operation = scope.operation
    if operation is None:
        return None, False
    changed = _record_steps(operation, scope, decision)
    if decision.drained:
        reports = (drain_report(node, scope.snapshot) for node in decision.drained)
        operation.report = [*operation.report, *reports]
        operation.save(update_fields=["report"])
    if operation.state == State.PENDING:
        changed |= operation_run(operation)
    if decision.failed:
        operation_end(operation, State.FAILED, reason=decision.failed.reason, message=decision.failed.message)
        return None, True
    if not decision.settled:
        return operation, changed
    if GOAL_OF.get(Verb(operation.kind), scope.snapshot.goal) == scope.snapshot.goal:
        operation_end(operation, State.SUCCEEDED)
    else:
        # The cluster reached another goal than the operation's, because the state of its tenant changed.
        state = scope.cluster.tenant.state
        reason, message = f"TENANT_{state.upper()}", f"The tenant is {state}."
        operation_end(operation, State.CANCELLED, reason=reason, message=message)
    return None, True


def _record_steps(operation: Operation, scope: Scope, decision: Decision) -> bool:
    """End the steps that are done, in their order, and begin the next. Returns whether any has changed."""
    changed: list[StepRow] = []
    start = scope.steps[0].started_at if scope.steps else None
    for row in scope.steps:
        if row.ended_at is None:
            found = progress(row.name, scope.snapshot, decision)
            began = row.started_at or start
            if row.started_at != began or row.message != found.message or found.done_at:
                row.started_at, row.message = began, found.message[:1000]
                row.ended_at = max(found.done_at, began) if found.done_at and began else found.done_at
                changed.append(row)
            if row.ended_at is None:
                break
            if row.started_at:
                seconds = (row.ended_at - row.started_at).total_seconds()
                instruments.STEP.labels(operation.kind, row.name).observe(seconds)
        start = row.ended_at
    if changed:
        steps_write(operation.id, changed)
    return bool(changed)


# -- its claim ----------------------------------------------------------------------------------------------------


def set_claim(scope: Scope, decision: Decision) -> None:
    """Claim what is wanted or still exists, whichever is more. To be called last in the transaction.

    Raises QuotaExceeded.
    """
    cluster = scope.cluster
    if decision.phase is Phase.DELETED:
        quota.claim_release(owner_id=cluster.id)
        return
    if decision.phase in {Phase.STOPPING, Phase.DELETING}:
        return
    amounts = scope.launch.keeps if decision.phase is Phase.STOPPED else _held(scope, decision)
    amounts = with_stored(amounts, cluster)
    claims = rows(Claim, "owner_id = %s", cluster.id)
    if not claims or claims[0].amounts != amounts:
        quota.claim_set(
            owner_id=cluster.id,
            tenant_id=cluster.tenant_id,
            user_id=cluster.owner_id,
            label=cluster.name,
            site=cluster.site.name,
            amounts=amounts,
        )


def _held(scope: Scope, decision: Decision) -> Amounts:
    each = {group.name: group.each for group in scope.launch.groups}
    planned = sum((each[node.group] for node in decision.nodes), start=Amounts(clusters=1))
    return planned.max(scope.launch.takes)
