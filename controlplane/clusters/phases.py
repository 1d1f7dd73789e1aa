"""The phases of a cluster, and the moves between them.

                      ┌────────────────── stop / start ───────────────────┐
    pending ──> starting ──> ready <──> resizing                          │
                  │  ^         │            │                             │
                  │  └─restart─┤            │                             │
                  v            v            v                             v
                failed ─────> stopping <────┴──────────────────────── stopped
                                  any of these ──> deleting ──> deleted

Only the moves in MOVES can be made. The cause of a phase is a reason, never another phase.
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

# A cluster leaves these phases by itself, so it always has a due work item.
TRANSIENT = frozenset({Phase.PENDING, Phase.STARTING, Phase.RESIZING, Phase.STOPPING, Phase.DELETING})


class Verb(StrEnum):
    CREATE = "create"
    START = "start"
    STOP = "stop"
    RESTART = "restart"
    RESIZE = "resize"
    CONFIGURE = "configure"
    DELETE = "delete"


# The phases in which a verb is allowed while no operation is live.
FITS: dict[Verb, frozenset[Phase]] = {
    Verb.START: frozenset({Phase.STOPPED, Phase.FAILED}),
    Verb.STOP: frozenset(set(Phase) - {Phase.STOPPED, Phase.DELETING, Phase.DELETED}),
    Verb.RESTART: frozenset({Phase.READY}),
    Verb.RESIZE: frozenset({Phase.READY, Phase.STOPPED}),
    Verb.CONFIGURE: frozenset({Phase.STOPPED}),
    Verb.DELETE: frozenset(set(Phase) - {Phase.DELETED}),
}

# The live operations that a verb cancels. Any other live operation refuses the verb.
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
