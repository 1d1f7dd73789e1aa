"""The contract between the reconciler and a site, the place where clusters run.

The reconciler tells a provisioner which nodes should exist; the provisioner makes and ends them, and reports what it
observes. Every call
- is idempotent, and returns in at most CALL_SECONDS;
- may be interrupted at any point and repeated;
- may come late, from a worker that has lost its lease. A run that was ended with `end_run` therefore stays ended, even
  when a late `apply` asks for it again.

A *node* is one member of a cluster, such as "worker-0". An *attempt* counts how often a node was made in a run,
from 1. An *incarnation* is the site's own identity of one attempt, such as a container id. An attempt gets one when it
starts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from templates.schema import Launch
from tenants.amounts import Amounts

CALL_SECONDS = 5
# A write may take effect up to this many seconds after its call was interrupted: API servers end requests after 60 s.
WRITE_SECONDS = 65

# Resource name -> how much a tenant may hold of it, in the unit of its quota; None without a limit.
Limits = Mapping[str, int | None]


def storable_text(text: str) -> str:
    """The text without what PostgreSQL cannot store: NUL characters and lone surrogates (which become "?")."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


class Temporary(Exception):  # noqa: N818 - read as an outcome
    """The call should be repeated after `delay` seconds. It does not mean that anything has failed or is gone.

    Always raised as SiteUnknown or NotYet: an operation's deadline counts the time of one and not of the other.
    reason: UPPER_SNAKE, for programs. message: for people, safe to show.
    """

    def __init__(self, reason: str, message: str, *, delay: float = 2.0) -> None:
        if type(self) is Temporary:
            raise TypeError("raise SiteUnknown or NotYet")
        super().__init__(f"{reason}: {message}")
        self.reason, self.message, self.delay = reason, storable_text(message), delay


class SiteUnknown(Temporary):
    """The site cannot be reached, or its answer says nothing about its state. Deadlines do not count this time."""


class WrongSite(SiteUnknown):
    """Something else answers where the site was: another Kubernetes, or one that another installation uses.

    It says nothing about the clusters of the site, so the clock of a deadline stops.
    """


class NotYet(Temporary):
    """The site answered that it cannot do it now, for a known reason that may pass. Deadlines count this time."""


class InProgress(NotYet):
    """The site is still doing what was requested. Repeat the call after exactly `delay` seconds, without back-off."""


class TenantMissing(NotYet):
    """The tenant's part of the site does not exist any more. Call `ensure_tenant` before anything else."""


class Permanent(Exception):  # noqa: N818
    """The call fails again until a person changes something. reason, message: as those of Temporary."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason, self.message = reason, storable_text(message)


class SettingsInvalid(ValueError):  # noqa: N818
    """A sentence that says which setting of a site is wrong and what it may be."""


class NotOurs(Permanent):
    """An object, or a whole site, has the name that Slipway needs, and another installation or program made it."""

    def __init__(self, message: str) -> None:
        super().__init__("SITE_BELONGS_TO_ANOTHER", message)


class DriftKind(StrEnum):
    """What happened to an object outside Slipway."""

    DELETED = "deleted"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Drift:
    """One live object that differs from what Slipway recorded having written.

    kind, name: of the object, in the site's own terms, such as "ConfigMap" and its name.
    """

    kind: str
    name: str
    how: DriftKind

    def __str__(self) -> str:
        return f"{self.kind} {self.name} was {self.how} outside Slipway"


class NodeState(StrEnum):
    """waiting: exists but has not started, for want of room, its image or its runtime. starting: was never ready yet.
    unready: was ready before. drained: its drain is over, whatever the outcome. ended: its command has ended.
    gone: no longer exists.
    """

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    UNREADY = "unready"
    DRAINING = "draining"
    DRAINED = "drained"
    ENDED = "ended"
    GONE = "gone"


class DrainOutcome(StrEnum):
    """drained: the app's hook finished its work. deadline: it did not finish in time. killed: the node ended first."""

    DRAINED = "drained"
    DEADLINE = "deadline"
    KILLED = "killed"


# The stages that an attempt passes, in this order. Each gets a time once per incarnation.
STAGES = ("applied", "scheduled", "image", "started", "ready")


@dataclass(frozen=True, slots=True)
class ClusterRef:
    """tenant: the tenant's name."""

    id: UUID
    name: str
    tenant_id: UUID
    tenant: str


@dataclass(frozen=True, slots=True)
class NodeRef:
    """One attempt at a node."""

    name: str
    attempt: int


@dataclass(frozen=True, slots=True)
class DesiredNode:
    """One attempt at a node that should exist. index: of the node in its group, from 0. each: the node's size."""

    name: str
    attempt: int
    group: str
    role: str
    index: int
    each: Amounts


@dataclass(frozen=True, slots=True)
class Desired:
    """All that should exist of one run of a cluster.

    nodes: a node of this run that is not listed is ended; it keeps its address.
    keeps: names of the nodes that exist or will be made again. Volumes of other nodes are deleted; None keeps all.
    has_data: the cluster was ready before, so the volumes of all nodes must exist; if not, `apply` raises Permanent
    STORAGE_LOST. used: the same for single nodes that were ready before, in a cluster that was not.
    repair: write again what the run needs beside its nodes, because it has drifted.
    restart: the generation of the last restart of the whole cluster; 0 without one.
    secrets: name -> key of this run. Never stored, never logged.
    link_version: grows when the links that open the cluster's pages are replaced. A running node then takes the new
    secrets and closes what the old ones opened.
    """

    cluster: ClusterRef
    run: int
    generation: int
    launch: Launch
    nodes: tuple[DesiredNode, ...]
    keeps: frozenset[str] | None = None
    has_data: bool = False
    used: frozenset[str] = frozenset()
    repair: bool = False
    restart: int = 0
    secrets: Mapping[str, str] = field(repr=False, default_factory=dict)
    link_version: int = 0

    @property
    def with_data(self) -> tuple[DesiredNode, ...]:
        """The listed nodes whose volumes must exist, because they may hold data."""
        return self.nodes if self.has_data else tuple(node for node in self.nodes if node.name in self.used)

    def is_kept(self, name: str) -> bool:
        """Whether the volume of this node is kept."""
        return self.keeps is None or name in self.keeps or any(node.name == name for node in self.nodes)


@dataclass(frozen=True, slots=True)
class DrainReport:
    """What the drain of one node has done, as its hook counted it. A count is None when it was not read.

    seconds: how long it took.
    """

    outcome: DrainOutcome
    seconds: float
    tasks_start: int | None = None
    tasks_end: int | None = None
    executors_start: int | None = None
    executors_end: int | None = None
    blocks_moved: int | None = None


@dataclass(frozen=True, slots=True)
class NodeObservation:
    """One attempt at a node, as its site shows it.

    version: grows with every change of the same attempt, so that an old observation never replaces a newer one.
    address: where other nodes reach it. reason, message: why it is not ready; the message is for its user.
    exit_code: as a shell counts it; None while it runs. stages: name from STAGES -> when the attempt passed it.
    drain: None until its drain is over.
    """

    cluster_id: UUID
    run: int
    name: str
    attempt: int
    version: int
    state: NodeState
    incarnation: str = ""
    address: str = ""
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    stages: Mapping[str, datetime] = field(default_factory=dict)
    drain: DrainReport | None = None

    def __post_init__(self) -> None:
        for name in ("incarnation", "address", "reason", "message"):
            object.__setattr__(self, name, storable_text(getattr(self, name)))


@dataclass(frozen=True, slots=True)
class ClusterObservation:
    """A fresh and complete answer about one cluster.

    exists: something of the cluster is left, volumes included. nodes: of every run, ended ones too.
    volumes: names of the nodes whose volume exists and is not being deleted; the node itself may be gone.
    stuck: one sentence for each object that was deleted and does not go: since when, what holds it, who can help.
    """

    exists: bool
    nodes: tuple[NodeObservation, ...] = ()
    volumes: frozenset[str] = frozenset()
    stuck: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundCluster:
    """One of Slipway's clusters on a site, as `list_all` found it.

    drift: objects of the run, other than its nodes, that differ from what was written; empty where a site cannot tell.
    run: the run that `drift` is about.
    """

    cluster_id: UUID
    tenant_id: UUID
    observed: ClusterObservation
    drift: tuple[Drift, ...] = ()
    run: int = 0


@dataclass(frozen=True, slots=True)
class DriftedTenant:
    """A tenant whose isolation differs from what was written. `ensure_tenant` repairs it and returns the drift."""

    tenant_id: UUID


@dataclass(frozen=True, slots=True)
class Load:
    """What a node is working on. busy, tasks: None when the node gave no answer."""

    busy: bool | None
    tasks: int | None = None


@dataclass(frozen=True, slots=True)
class SiteVerdict:
    """Whether clusters can run on a site.

    isolation: "proved", "not enforced", "unknown", or "none" where the site does not isolate tenants.
    message: for people. identity: differs for every site that could be reached by mistake; "" where only one can be.
    """

    ready: bool
    isolation: str
    message: str = ""
    identity: str = ""


@dataclass(frozen=True, slots=True)
class Capacity:
    """machines: the largest ones, each bigger in something than all others. total: the sum of all machines; None where
    the sum of all nodes may be more than that.
    """

    machines: tuple[Amounts, ...]
    total: Amounts | None = None


def capacity_of(machines: Sequence[Amounts], *, overcommitted: bool) -> Capacity:
    largest = {
        one for one in machines if not any(one != other and one.fits_within(other) for other in machines)
    }
    total = None if overcommitted else sum(machines, start=Amounts())
    return Capacity(tuple(sorted(largest, key=Amounts.as_tuple)), total)


# The reason when a site's settings lead to another place than where its clusters run, and the seconds until the site
# is checked again. Slipway makes no other call to such a site.
SITE_CHANGED, CHANGED_DELAY = "SITE_CHANGED", 30.0


class Provisioner(Protocol):
    """One site. Every call may raise SiteUnknown, NotYet and Permanent; any other exception is a bug."""

    def check(self) -> SiteVerdict: ...

    def capacity(self) -> Mapping[str, Capacity]:
        """App name -> the most that one node, and the sum of all nodes, can have. The key "" is for all other apps.

        Empty when the capacity is unknown.
        """

    def ensure_tenant(self, tenant_id: UUID, name: str, limits: Limits) -> tuple[Drift, ...]:
        """Make what all clusters of the tenant share, isolation first. Idempotent.

        Repairs what was changed or deleted since it was made, and returns that. A site may enforce `limits` itself, in
        addition to quota.
        """

    def remove_tenant(self, tenant_id: UUID) -> None:
        """Delete all of the tenant, its clusters and shared data included. Returns once nothing of it is left."""

    def apply(self, desired: Desired) -> None:
        """Make the listed nodes that are missing, end other nodes of the run, and repair drift.

        - An attempt that ended, or was cleared away, is not made again.
        - An attempt that `apply` ends becomes GONE, not ENDED, once no process of it runs, and there is an event.
        - A new attempt at a node is made only when no older attempt is left.
        - Volumes of nodes that are not kept are deleted, see `Desired.keeps`.
        - Does nothing when the run was ended, or when a newer generation was already applied.
        """

    def begin_drain(self, cluster: ClusterRef, nodes: Sequence[NodeRef], seconds: int) -> None:
        """Ask nodes to move their work to other nodes in at most `seconds`. Returns at once.

        Their observations become DRAINING, then DRAINED with a report.
        """

    def end_run(self, cluster: ClusterRef, run: int, *, force: bool = False) -> None:
        """End every node of this and earlier runs, for ever. Volumes are kept. force: without grace period."""

    def remove(self, cluster: ClusterRef, *, force: bool = False) -> None:
        """End every run, for ever, and delete all of the cluster, volumes included. force: without grace period."""

    def look(self, cluster: ClusterRef, names: Iterable[str]) -> ClusterObservation:
        """The state of these nodes at least, read now and not from a cache. Raises Temporary rather than guess."""

    def load(self, cluster: ClusterRef, nodes: Sequence[NodeRef]) -> Mapping[str, Load]:
        """Node name -> what the node is working on now."""

    def list_all(self) -> Iterator[FoundCluster | DriftedTenant]:
        """Every cluster of which something is left, as complete as `look` returns it, and every drifted tenant.

        A cluster that is not returned is gone. Raises Temporary at the end when a part could not be read, after it has
        returned all that could be.
        """

    def events(self) -> Iterator[NodeObservation | None]:
        """Transitions of nodes as they happen, without end. Some may be lost or repeated.

        Yields None once it listens, and every few seconds after that.
        """

    def logs(self, cluster: ClusterRef, node: NodeRef, *, tail_bytes: int) -> bytes:
        """The last bytes that the node wrote, whether it runs or has ended; b"" when it has written nothing."""

    def follow(self, cluster: ClusterRef, node: NodeRef) -> Iterator[bytes]:
        """What the node writes from now on, until it ends.

        Yields b"" at least once a second, so that callers can stop.
        """
