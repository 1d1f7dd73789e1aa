"""What one reconcile pass knows of a cluster (Snapshot), and what it decides (Decision). Frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from controlplane.clusters.phases import Goal, Phase
from controlplane.provisioners.base import Load, NodeObservation, NodeRef, NodeState
from controlplane.reconciler.cluster.action import Action
from controlplane.reconciler.node_names import NodeName

ALIVE = frozenset(set(NodeState) - {NodeState.ENDED, NodeState.GONE})


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something is not as it should be. reason: UPPER_SNAKE, for programs. message: for people."""

    reason: str = ""
    message: str = ""

    def __bool__(self) -> bool:
        return bool(self.reason or self.message)


NO_PROBLEM = Problem()


@dataclass(frozen=True, slots=True)
class PlannedNode:
    """A node as the reconciler plans it.

    observation: the last one of the current attempt; None when the site never showed it, or when it is gone.
    critical, drains: as the node's role says. All other fields are those of clusters.models.Node.
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
    def ref(self) -> NodeRef:
        return NodeRef(self.name, self.attempt)

    @property
    def state(self) -> NodeState:
        return self.observation.state if self.observation else NodeState.GONE

    @property
    def ready(self) -> bool:
        return self.state is NodeState.READY and not self.ending and not self.leaving


@dataclass(frozen=True, slots=True)
class WantedGroup:
    """A group of the launch. critical, drains: as its role says."""

    name: str
    role: str
    count: int
    critical: bool = False
    drains: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One cluster at one moment. Fields that are not explained here are columns of clusters.models.Cluster.

    goal: the goal that the state of the tenant allows.
    deadline: of the live operation.
    last_problem: the reason and message that were recorded last.

    fresh: the observations are a complete answer that the site gave in this pass. exists, volumes and stuck are known
    only then. exists: anything of the cluster is left at the site. volumes: the nodes that have one. stuck: sentences
    about what was requested to end and does not end.
    orphan_attempts: attempts alive in this run that no node accounts for. old_runs: something of an earlier run is
    left.
    observed_at: when the last complete observation began; None when the stored observations are in doubt.

    executed: the writing action that this pass executed last. loads: answers to LOAD by node name. problem: an action
    of this pass cannot succeed.
    """

    now: datetime
    goal: Goal
    phase: Phase
    generation: int
    observed_generation: int
    run: int
    groups: tuple[WantedGroup, ...]
    nodes: tuple[PlannedNode, ...] = ()
    isolated: bool = False
    restart_generation: int = 0
    link_version: int = 0
    link_version_given: int = 0
    force: bool = False
    drain_seconds: int = 60
    deadline: datetime | None = None
    last_action: str = ""
    last_action_at: datetime | None = None
    last_write_at: datetime | None = None
    last_problem: Problem = NO_PROBLEM
    used_attempts: Mapping[str, int] = field(default_factory=dict)
    draining: frozenset[str] = frozenset()
    drift: tuple[str, ...] = ()
    released: bool = False

    fresh: bool = False
    exists: bool = True
    volumes: frozenset[NodeName] = frozenset()
    stuck: tuple[str, ...] = ()
    orphan_attempts: tuple[NodeRef, ...] = ()
    old_runs: bool = False
    observed_at: datetime | None = None

    executed: Action | None = None
    loads: Mapping[str, Load] | None = None
    problem: Problem | None = None

    @property
    def links_due(self) -> bool:
        """Whether nodes still open their pages by links that were replaced."""
        return self.link_version_given < self.link_version

    @property
    def unsettled(self) -> bool:
        """Whether the current generation is not reached yet."""
        return self.observed_generation < self.generation

    @property
    def late(self) -> bool:
        """Whether the current generation was not reached before its deadline."""
        return self.unsettled and self.deadline is not None and self.now >= self.deadline

    def has_executed(self, action: Action) -> bool:
        """Whether this pass executed the action already, and no other writing action after it."""
        return self.executed is not None and self.executed.token == action.token


@dataclass(frozen=True, slots=True)
class Decision:
    """What to record, then the action to execute, then when to look again.

    nodes: all nodes, as they are to be recorded. isolated: the tenant's isolation is ensured for this run.
    settled: the current generation is reached. failed: why it cannot be reached. problem: the message to people.
    executed: the action of this pass to be recorded as executed. drained: the nodes whose drain is over.
    next_in: seconds until the next pass; 0 = plan again at once; None = rest until the cluster is woken.
    """

    phase: Phase
    run: int
    nodes: tuple[PlannedNode, ...]
    action: Action | None = None
    isolated: bool = False
    settled: bool = False
    failed: Problem | None = None
    problem: Problem = NO_PROBLEM
    executed: Action | None = None
    drained: tuple[PlannedNode, ...] = ()
    next_in: float | None = None
