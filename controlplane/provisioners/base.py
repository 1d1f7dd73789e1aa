"""The contract between the reconciler and the places where clusters run.

A provisioner is told what should be there and says what it sees. Every call is idempotent, returns within five
seconds, may be cut off anywhere and repeated, and may arrive late from a worker that no longer holds the lease:
whatever belongs to a run that `end_run` ended stays ended, whoever asks for it again.

Three words: a *node* is a place in a cluster ("worker-0"); a *attempt* counts the times it was made anew within a
run; an *incarnation* is the site's own identity for one such making (a container id), once it exists.
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
# A write that a call began may take effect this much later: no API server lets one go on for longer than a minute.
WRITE_SECONDS = 65

Limits = Mapping[str, int | None]


def plain(text: str) -> str:
    """What a database takes of what a node or a program wrote."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


class Temporary(Exception):  # noqa: N818 - read as an outcome
    """Try again after `delay` seconds. Never a reason to call anything failed or gone.

    Raised as one of its two kinds, because a deadline needs to know which: SiteUnknown or NotYet.
    """

    def __init__(self, reason: str, message: str, *, delay: float = 2.0) -> None:
        if type(self) is Temporary:
            raise TypeError("raise SiteUnknown or NotYet")
        super().__init__(f"{reason}: {message}")
        self.reason, self.message, self.delay = reason, plain(message), delay


class SiteUnknown(Temporary):
    """The site cannot be asked, or its answer says nothing: the clock of a deadline stops."""


class WrongSite(SiteUnknown):
    """Something else answers where the site was: another Kubernetes, or one that another installation uses.

    It says nothing about the clusters of the site, so the clock of a deadline stops.
    """


class NotYet(Temporary):
    """The site answered and refuses for a known reason, which may pass: the clock of a deadline runs."""


class InProgress(NotYet):
    """What was asked for is being done, and the next try takes it over: come back after `delay`, not ever later."""


class TenantMissing(NotYet):
    """What `ensure_tenant` made is not there any more: it has to be made again before anything else."""


class Permanent(Exception):  # noqa: N818
    """Trying again cannot help until somebody changes something. Safe to show."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason, self.message = reason, plain(message)


class NotOurs(Permanent):
    """An object, or a whole site, has the name that Slipway needs, and another installation or program made it."""

    def __init__(self, message: str) -> None:
        super().__init__("SITE_BELONGS_TO_ANOTHER", message)


class DriftKind(StrEnum):
    DELETED = "deleted"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Drift:
    """An object of ours that is not as Slipway recorded having written it. kind, name: as the site calls it."""

    kind: str
    name: str
    how: DriftKind

    def __str__(self) -> str:
        return f"{self.kind} {self.name} was {self.how} outside Slipway"


class NodeState(StrEnum):
    """waiting: made, but not started (no room, image or runtime on its way). gone: no longer there at all."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    UNREADY = "unready"
    DRAINING = "draining"
    DRAINED = "drained"
    ENDED = "ended"
    GONE = "gone"


class DrainOutcome(StrEnum):
    """How the drain of a node ended."""

    DRAINED = "drained"
    DEADLINE = "deadline"
    KILLED = "killed"


# The stages a node passes, in order; each is stamped once per incarnation.
STAGES = ("applied", "scheduled", "image", "started", "ready")


@dataclass(frozen=True, slots=True)
class ClusterRef:
    id: UUID
    name: str
    tenant_id: UUID
    tenant: str


@dataclass(frozen=True, slots=True)
class NodeRef:
    name: str
    attempt: int


@dataclass(frozen=True, slots=True)
class DesiredNode:
    name: str
    attempt: int
    group: str
    role: str
    index: int
    each: Amounts


@dataclass(frozen=True, slots=True)
class Desired:
    """Everything that should exist of one run. A node that is not listed is to be ended; its address stays its own.

    secrets: name -> derived key of this run; never stored, never logged. link_version: grows whenever those that open
    pages are replaced; a node that has older ones takes up the new ones and closes what the old ones opened.
    keeps: the nodes that are here or will be made again; the volumes of others go. None: nobody says, and all stay.
    has_data: the cluster was ready once, so its volumes must be there: Permanent STORAGE_LOST when they are not.
    used: nodes that were ready once, where the whole cluster was not; for theirs it is the same.
    repair: something that the run needs beside its nodes is not as it was written: it is written again.
    restart: the generation of the last restart of the whole cluster; 0 without one.
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
        """The listed nodes whose volumes may hold something already."""
        return self.nodes if self.has_data else tuple(node for node in self.nodes if node.name in self.used)

    def is_kept(self, name: str) -> bool:
        """Whether the volume of this node stays."""
        return self.keeps is None or name in self.keeps or any(node.name == name for node in self.nodes)


@dataclass(frozen=True, slots=True)
class DrainReport:
    """What the drain of one node did; None = was not read, never guessed."""

    outcome: DrainOutcome
    seconds: float
    tasks_start: int | None = None
    tasks_end: int | None = None
    executors_start: int | None = None
    executors_end: int | None = None
    blocks_moved: int | None = None


@dataclass(frozen=True, slots=True)
class NodeObservation:
    """One attempt of one node, as its site sees it.

    version grows with every change of the same attempt, so an old observation never replaces a newer one.
    reason, message: why it is not ready, in words for its user.
    stages: name from STAGES -> when it was passed.
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
            object.__setattr__(self, name, plain(getattr(self, name)))


@dataclass(frozen=True, slots=True)
class ClusterObservation:
    """A fresh and complete answer about one cluster.

    exists: anything at all is left of it, volumes included. nodes: of every run, ended ones too. volumes: the nodes
    that have one, there or not, and nobody removes it yet. stuck: what was told to go and does not, each in a sentence
    that says since when, what holds it and who can help.
    """

    exists: bool
    nodes: tuple[NodeObservation, ...] = ()
    volumes: frozenset[str] = frozenset()
    stuck: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundCluster:
    """One cluster of ours on a site, as `list_all` found it.

    drift: what its nodes need beside themselves and is not as it was written; empty where nothing can be told.
    run: of which run that is.
    """

    cluster_id: UUID
    tenant_id: UUID
    observed: ClusterObservation
    drift: tuple[Drift, ...] = ()
    run: int = 0


@dataclass(frozen=True, slots=True)
class DriftedTenant:
    """A tenant whose fence is not as it was written: `ensure_tenant` puts it right and says what had become of it."""

    tenant_id: UUID


@dataclass(frozen=True, slots=True)
class Load:
    """What a node is working on. None = could not be asked."""

    busy: bool | None
    tasks: int | None = None


@dataclass(frozen=True, slots=True)
class SiteVerdict:
    """isolation: proved, not enforced, unknown, or none where the site shuts nobody off from anybody.

    identity: tells this place from any other that may be reached in its stead; "" where there can be no other.
    """

    ready: bool
    isolation: str
    message: str = ""
    identity: str = ""


@dataclass(frozen=True, slots=True)
class Capacity:
    """machines: those that no other one exceeds in everything. total: of all; None where it may be overcommitted."""

    machines: tuple[Amounts, ...]
    total: Amounts | None = None


def capacity_of(machines: Sequence[Amounts], *, overcommitted: bool) -> Capacity:
    largest = {
        one for one in machines if not any(one != other and one.fits_within(other) for other in machines)
    }
    total = None if overcommitted else sum(machines, start=Amounts())
    return Capacity(tuple(sorted(largest, key=Amounts.as_tuple)), total)


# Why a site is asked nothing that leads elsewhere than its clusters are, and how soon that is looked at again.
SITE_CHANGED, CHANGED_DELAY = "SITE_CHANGED", 30.0


class Provisioner(Protocol):
    """One site. Raises SiteUnknown, NotYet or Permanent, and nothing else on purpose."""

    def check(self) -> SiteVerdict: ...

    def capacity(self) -> Mapping[str, Capacity]:
        """What one node, and all together, may take at most, by app; "" for apps that have no entry. Empty: unknown."""

    def ensure_tenant(self, tenant_id: UUID, name: str, limits: Limits) -> tuple[Drift, ...]:
        """Make what all clusters of the tenant share, isolation first. Repairs what was changed or deleted since it was
        made, and returns that.

        limits: resource -> what the tenant may hold; a site may fence it in beside the ledger. None: no limit.
        """

    def remove_tenant(self, tenant_id: UUID) -> None:
        """Remove all of it, shared data included. Idempotent. Returns once nothing of it is left."""

    def apply(self, desired: Desired) -> None:
        """Make the listed nodes that are missing, end the others of this run with what only they had, repair drift.

        An attempt that existed and ended is not made again; one that was told to end is gone, not ENDED, once nothing
        of it runs, and says so in an event. A new attempt of a name is made only when no older one is
        left. Does nothing when the run was ended.
        """

    def begin_drain(self, cluster: ClusterRef, nodes: Sequence[NodeRef], seconds: int) -> None:
        """Ask nodes to move their work away; DRAINING, then DRAINED with a report, show up in observations."""

    def end_run(self, cluster: ClusterRef, run: int, *, force: bool = False) -> None:
        """End every node of this and earlier runs, for good; volumes stay. force: no grace."""

    def remove(self, cluster: ClusterRef, *, force: bool = False) -> None:
        """End every run and remove all that is left of the cluster, volumes too."""

    def look(self, cluster: ClusterRef, names: Iterable[str]) -> ClusterObservation:
        """A fresh answer for at least these nodes, not from a cache. Raises Temporary rather than guess."""

    def load(self, cluster: ClusterRef, nodes: Sequence[NodeRef]) -> Mapping[str, Load]:
        """What these nodes are working on, by name, asked now."""

    def list_all(self) -> Iterator[FoundCluster | DriftedTenant]:
        """Every cluster of which anything is left, as complete as `look` tells it. What is not named is gone. And the
        tenants whose fence has to be looked at.

        Raises Temporary at the end when a part could not be read, after all that could.
        """

    def events(self) -> Iterator[NodeObservation | None]:
        """Transitions as they happen, for ever; None once it listens, and every few seconds. May lose or double any."""

    def logs(self, cluster: ClusterRef, node: NodeRef, *, tail_bytes: int) -> bytes:
        """The last bytes that the node wrote, running or ended. b"" when there is nothing yet."""

    def follow(self, cluster: ClusterRef, node: NodeRef) -> Iterator[bytes]:
        """What the node writes from now on, until it ends; b"" at least once a second, so that one can stop."""
