"""What a cluster can be, and how it may get from one to the other.

                      ┌────────────────── stop / start ───────────────────┐
    pending ──> starting ──> ready <──> resizing                          │
                  │  ^         │            │                             │
                  │  └─restart─┤            │                             │
                  v            v            v                             v
                failed ─────> stopping <────┴──────────────────────── stopped
                                  any of these ──> deleting ──> deleted

A move that is not in MOVES cannot be made. The *why* of a phase is a reason, never another phase.
"""

from enum import StrEnum


class Goal(StrEnum):
    RUNNING = "running"
    STOPPED = "stopped"
    DELETED = "deleted"


class Phase(StrEnum):
    PENDING = "pending"
    STARTING = "starting"
    READY = "ready"
    RESIZING = "resizing"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DELETING = "deleting"
    DELETED = "deleted"
    FAILED = "failed"


MOVES: dict[Phase, frozenset[Phase]] = {
    Phase.PENDING: frozenset({Phase.STARTING, Phase.STOPPING, Phase.FAILED, Phase.DELETING}),
    Phase.STARTING: frozenset({Phase.READY, Phase.FAILED, Phase.STOPPING, Phase.DELETING}),
    Phase.READY: frozenset({Phase.STARTING, Phase.RESIZING, Phase.STOPPING, Phase.DELETING}),
    Phase.RESIZING: frozenset({Phase.READY, Phase.STARTING, Phase.STOPPING, Phase.DELETING}),
    Phase.STOPPING: frozenset({Phase.STOPPED, Phase.STARTING, Phase.DELETING}),
    Phase.STOPPED: frozenset({Phase.STARTING, Phase.STOPPING, Phase.DELETING}),
    Phase.FAILED: frozenset({Phase.STARTING, Phase.STOPPING, Phase.DELETING}),
    Phase.DELETING: frozenset({Phase.DELETED}),
    Phase.DELETED: frozenset(),
}

# From these a cluster moves on by itself; somebody is always due to look at it.
TRANSIENT = frozenset({Phase.PENDING, Phase.STARTING, Phase.RESIZING, Phase.STOPPING, Phase.DELETING})


class Verb(StrEnum):
    CREATE = "create"
    START = "start"
    STOP = "stop"
    RESTART = "restart"
    RESIZE = "resize"
    CONFIGURE = "configure"
    DELETE = "delete"


# In which phases a verb may be asked for, when no operation is under way.
FITS: dict[Verb, frozenset[Phase]] = {
    Verb.START: frozenset({Phase.STOPPED, Phase.FAILED}),
    Verb.STOP: frozenset(set(Phase) - {Phase.STOPPED, Phase.DELETING, Phase.DELETED}),
    Verb.RESTART: frozenset({Phase.READY}),
    Verb.RESIZE: frozenset({Phase.READY, Phase.STOPPED}),
    Verb.CONFIGURE: frozenset({Phase.STOPPED}),
    Verb.DELETE: frozenset(set(Phase) - {Phase.DELETED}),
}

# Which running operations a verb puts an end to; any other makes the verb wait its turn.
SUPERSEDES: dict[Verb, frozenset[Verb]] = {
    Verb.START: frozenset(),
    Verb.STOP: frozenset({Verb.CREATE, Verb.START, Verb.RESTART, Verb.RESIZE}),
    Verb.RESTART: frozenset(),
    Verb.RESIZE: frozenset(),
    Verb.CONFIGURE: frozenset(),
    Verb.DELETE: frozenset(set(Verb) - {Verb.DELETE}),
}

GOAL_OF: dict[Verb, Goal] = {
    Verb.CREATE: Goal.RUNNING,
    Verb.START: Goal.RUNNING,
    Verb.RESTART: Goal.RUNNING,
    Verb.STOP: Goal.STOPPED,
    Verb.DELETE: Goal.DELETED,
}
