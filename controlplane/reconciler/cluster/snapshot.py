"""What one pass knows (View) and what it decides (Step). Frozen values; no database, no site."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from controlplane.clusters.phases import Goal, Phase
from controlplane.provisioners.base import Load, NodeObservation, NodeState

ALIVE = frozenset(set(NodeState) - {NodeState.ENDED, NodeState.GONE})


class Act(StrEnum):
    """What a pass may do at a site. Each is idempotent."""

    LOOK = "look"
    LOAD = "load"
    ENSURE = "ensure"
    APPLY = "apply"
    DRAIN = "drain"
    END_RUN = "end_run"
    REMOVE = "remove"


# The acts that only read.
READS = frozenset({Act.LOOK, Act.LOAD})


@dataclass(frozen=True, slots=True)
class Place:
    """A node as it is meant to be, with the last observation of its current attempt (None: never seen, or gone).

    critical, drains: of its role. The other fields are those of clusters.models.Node.
    """

    name: str
    group: str
    role: str
    index: int
    run: int
    attempt: int
    attempt_generation: int
    critical: bool = False
    drains: bool = False
    confirmed: bool = False
    ending: bool = False
    leaving: bool = False
    drain_until: datetime | None = None
    failures: int = 0
    retry_at: datetime | None = None
    restart_generation: int = 0
    observation: NodeObservation | None = None

    @property
    def state(self) -> NodeState:
        return self.observation.state if self.observation else NodeState.GONE

    @property
    def ready(self) -> bool:
        return self.state is NodeState.READY and not self.ending and not self.leaving


@dataclass(frozen=True, slots=True)
class WantedGroup:
    name: str
    role: str
    count: int
    critical: bool = False
    drains: bool = False


@dataclass(frozen=True, slots=True)
class Trouble:
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class View:
    """One cluster at one moment.

    goal: what is to be reached now, after its tenant's state. fresh: the observations are a complete answer got in this
    pass; exists: whether anything at all is left, known only when fresh. strays: names@attempts alive in this run that
    no place accounts for; old_runs: something of an earlier run is there. volumes: the names that have one, known
    only when fresh. observed_at: when the cluster was last looked at, or its site first listed later than any late
    write of last_write_at; None: what was seen is doubted. told: the last act of this pass that was carried out, as a
    token. loads: answers to LOAD, by node. trouble: an act of this pass cannot succeed. why: the reason that was last
    written down. link_version: of the links that open its pages; link_version_given: what its nodes were last given.
    used_attempts: the last attempt of each name that no place has now. draining: names whose last node was to leave.
    drift: what this run needs beside its nodes and is not as it was written, in words. stuck: what was told to go and
    does not, in words, known only when fresh. released: a site admin has let go of what does not go.
    """

    now: datetime
    goal: Goal
    phase: Phase
    generation: int
    observed_generation: int
    run: int
    groups: tuple[WantedGroup, ...]
    places: tuple[Place, ...] = ()
    isolated: bool = False
    restart_generation: int = 0
    link_version: int = 0
    link_version_given: int = 0
    force: bool = False
    drain_seconds: int = 60
    deadline: datetime | None = None
    strays: tuple[str, ...] = ()
    old_runs: bool = False
    volumes: frozenset[str] = frozenset()
    fresh: bool = False
    exists: bool = True
    last_action: str = ""
    last_action_at: datetime | None = None
    last_write_at: datetime | None = None
    observed_at: datetime | None = None
    told: str = ""
    loads: Mapping[str, Load] | None = None
    trouble: Trouble | None = None
    why: Trouble = Trouble("", "")
    used_attempts: Mapping[str, int] = field(default_factory=dict)
    draining: frozenset[str] = frozenset()
    drift: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    released: bool = False

    @property
    def links_due(self) -> bool:
        """Whether nodes still open their pages by links that were replaced."""
        return self.link_version_given < self.link_version


@dataclass(frozen=True, slots=True)
class Step:
    """What to record, then what to do, then when to look again.

    act, token: None = nothing; token names the act and everything that it depends on. names: the nodes it is about.
    settled: this generation is reached. failed: it cannot be, and why. last_action: the token that is
    now known to be executed. next_in: seconds; None = rest.
    """

    phase: Phase
    run: int
    places: tuple[Place, ...]
    act: Act | None = None
    token: str = ""
    names: tuple[str, ...] = ()
    isolated: bool = False
    settled: bool = False
    failed: Trouble | None = None
    reason: str = ""
    message: str = ""
    last_action: str = ""
    next_in: float | None = None
    drained: tuple[Place, ...] = field(default=())
