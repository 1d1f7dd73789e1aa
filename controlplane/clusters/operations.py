"""Operations: what they are made of when a service begins one, and how the live one ends."""

from datetime import timedelta

from django.db import connection
from django.utils import timezone

from controlplane.clusters.channels import OPERATION_CHANNEL
from controlplane.clusters.inserting import insert
from controlplane.clusters.models import Cluster, Operation, Step
from controlplane.clusters.models.operation import LIVE, State
from controlplane.clusters.phases import Verb
from controlplane.metrics import instruments

_RUN = "UPDATE clusters_operation SET state = 'running' WHERE id = %s AND state = 'pending'"
_END = """
WITH ended AS (
    UPDATE clusters_operation SET state = %s, reason = %s, message = %s, ended_at = statement_timestamp()
     WHERE id = %s AND state = ANY(%s) RETURNING id
)
SELECT pg_notify(%s, id::text) FROM ended
"""

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


# Stopping and deleting have none: they never fail, they retry and say why. The others leave time for the first
# installation of an app's packages.
DEADLINE = timedelta(minutes=30)
ENDLESS = frozenset({Verb.STOP, Verb.DELETE})


def live_operation(cluster: Cluster) -> Operation | None:
    return cluster.operations.filter(state__in=LIVE).first()


def operation_begin(
    cluster: Cluster, *, verb: Verb, actor: str, steps: tuple[str, ...] | None = None
) -> Operation:
    """A live operation for the cluster's generation; its first step, admitted, is over. It is `cluster.begun`."""
    operation, *parts = operation_rows(cluster, verb=verb, actor=actor, steps=steps)
    insert(operation, *parts)
    return operation


def operation_rows(
    cluster: Cluster, *, verb: Verb, actor: str, steps: tuple[str, ...] | None = None
) -> tuple[Operation, *tuple[Step, ...]]:
    """What `operation_begin` inserts, for who inserts more with it."""
    now = timezone.now()
    operation = Operation(
        cluster=cluster,
        kind=verb,
        actor=actor,
        generation=cluster.generation,
        deadline=None if verb in ENDLESS else now + _time_for(cluster, verb),
    )
    cluster.begun = operation
    names = steps or STEPS[verb]
    parts = (
        Step(
            operation=operation,
            position=position,
            name=name,
            started_at=now if position <= 1 else None,
            ended_at=now if position == 0 else None,
        )
        for position, name in enumerate(names)
    )
    return operation, *parts


def _time_for(cluster: Cluster, verb: Verb) -> timedelta:
    return DEADLINE + timedelta(seconds=cluster.drain_seconds if verb is Verb.RESIZE else 0)


def operation_run(operation: Operation) -> bool:
    """Move a pending operation on; whether this call did it."""
    with connection.cursor() as cursor:
        cursor.execute(_RUN, [operation.id])
        moved = bool(cursor.rowcount)
    if moved:
        operation.state = State.RUNNING
    return moved


def operation_end(operation: Operation, state: State, *, reason: str = "", message: str = "") -> bool:
    """Move a live operation to its end, once, and tell who waits for it; whether this call did it."""
    with connection.cursor() as cursor:
        cursor.execute(_END, [state, reason, message[:1000], operation.id, list(LIVE), OPERATION_CHANNEL])
        ended = bool(cursor.rowcount)
    if ended:
        seconds = (timezone.now() - operation.created_at).total_seconds()
        instruments.OPERATIONS.labels(operation.kind, state).inc()
        instruments.OPERATION.labels(operation.kind).observe(seconds)
    return ended
