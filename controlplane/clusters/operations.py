"""How an operation begins, with its steps, and how it ends."""

from datetime import timedelta

from django.utils import timezone

from controlplane.clusters.models import Cluster, Operation, Step
from controlplane.clusters.models.operation import LIVE, State
from controlplane.clusters.phases import Verb
from controlplane.clusters.queries.insert import insert
from controlplane.clusters.queries.writes import end_live_operation
from controlplane.metrics import instruments

_START = ("isolated", "applied", "scheduled", "image", "started", "ready")
_GROW = ("applied", "scheduled", "image", "started", "ready")
_SHRINK = ("drained", "ended")

STEPS: dict[Verb, tuple[str, ...]] = {
    Verb.CREATE: ("admitted", *_START),
    Verb.START: ("admitted", *_START),
    Verb.RESTART: ("admitted", "ended", *_GROW),
    Verb.RESIZE: ("admitted",),
    Verb.CONFIGURE: ("admitted",),
    Verb.STOP: ("admitted", "ended"),
    Verb.DELETE: ("admitted", "ended"),
}


def resize_steps(*, grows: bool, shrinks: bool) -> tuple[str, ...]:
    return (*STEPS[Verb.RESIZE], *(_GROW if grows else ()), *(_SHRINK if shrinks else ()))


# Operations that stop and delete have no deadline: they retry and say why, and never fail. The deadline of the others
# leaves time for the first installation of an app's packages.
DEADLINE = timedelta(minutes=30)
ENDLESS = frozenset({Verb.STOP, Verb.DELETE})


def live_operation(cluster: Cluster) -> Operation | None:
    return cluster.operations.filter(state__in=LIVE).first()


def operation_begin(
    cluster: Cluster, *, verb: Verb, actor: str, steps: tuple[str, ...] | None = None
) -> Operation:
    """Insert a live operation for the cluster's generation. It becomes `cluster.last_operation`."""
    operation, *parts = operation_rows(cluster, verb=verb, actor=actor, steps=steps)
    insert(operation, *parts)
    return operation


def operation_rows(
    cluster: Cluster, *, verb: Verb, actor: str, steps: tuple[str, ...] | None = None
) -> tuple[Operation, *tuple[Step, ...]]:
    """The rows that `operation_begin` inserts, for callers that insert others with them.

    The first step, admitted, has ended.
    """
    now, drain = timezone.now(), timedelta(seconds=cluster.drain_seconds if verb is Verb.RESIZE else 0)
    operation = Operation(
        cluster=cluster,
        kind=verb,
        actor=actor,
        generation=cluster.generation,
        deadline=None if verb in ENDLESS else now + DEADLINE + drain,
    )
    cluster.last_operation = operation
    parts = (
        Step(
            operation=operation,
            position=position,
            name=name,
            started_at=now if position <= 1 else None,
            ended_at=now if position == 0 else None,
        )
        for position, name in enumerate(steps or STEPS[verb])
    )
    return operation, *parts


def operation_run(operation: Operation) -> bool:
    """Move a pending operation to running. Returns whether this call did."""
    moved = bool(Operation.objects.filter(id=operation.id, state=State.PENDING).update(state=State.RUNNING))
    if moved:
        operation.state = State.RUNNING
    return moved


def operation_end(operation: Operation, state: State, *, reason: str = "", message: str = "") -> bool:
    """End a live operation and notify those who wait for it. Returns whether this call did."""
    ended = end_live_operation(operation.id, state=state, reason=reason, message=message[:1000])
    if ended:
        seconds = (timezone.now() - operation.created_at).total_seconds()
        instruments.OPERATIONS.labels(operation.kind, state).inc()
        instruments.OPERATION.labels(operation.kind).observe(seconds)
    return ended
