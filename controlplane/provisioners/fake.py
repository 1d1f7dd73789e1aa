"""A site whose nodes are entries in memory: for tests and benchmarks, never offered to users.

It passes the same contract tests as every other site, and each of its failures can be switched on by name.
"""

import math
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID

from controlplane.provisioners.base import (
    STAGES,
    Capacity,
    ClusterObservation,
    ClusterRef,
    Desired,
    DesiredNode,
    DrainOutcome,
    DrainReport,
    Drift,
    DriftedTenant,
    FoundCluster,
    Limits,
    Load,
    NodeObservation,
    NodeRef,
    NodeState,
    Permanent,
    SiteVerdict,
    capacity_of,
)
from tenants.amounts import Amounts

Key = tuple[int, str, int]


@dataclass
class _Cluster:
    tenant_id: UUID
    nodes: dict[Key, NodeObservation] = field(default_factory=dict)
    cleared: set[Key] = field(default_factory=set)
    volumes: set[str] = field(default_factory=set)
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def run(self) -> int:
        return max((run for run, _, _ in self.nodes), default=0)


class FakeProvisioner:
    """Every call takes full effect before it returns.

    calls: counts calls by name. made, ended: count nodes by name. before_call, after_call: tests replace them; they get
    the name of the call, and may raise any exception. unready: names of nodes that never become ready by themselves.
    stuck: cluster -> why a part of it does not go. drift, fence_differs: cluster or tenant -> the drift to report.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.made: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.before_call: Callable[[str], None] = lambda name: None
        self.after_call: Callable[[str], None] = lambda name: None
        self.unready: set[str] = set()
        self.loads: dict[str, Load] = {}
        self.data_lost = False
        self.stuck: dict[UUID, str] = {}
        self.drift: dict[UUID, tuple[Drift, ...]] = {}
        self.fence_differs: dict[UUID, tuple[Drift, ...]] = {}
        self.machines: list[Amounts] = []
        self._clusters: dict[UUID, _Cluster] = {}
        self._ended: dict[UUID, float] = {}
        self._tenants: set[UUID] = set()
        self._lock = threading.RLock()
        self._events: queue.SimpleQueue[NodeObservation] = queue.SimpleQueue()

    # -- the contract ---------------------------------------------------------------------------------------------

    def check(self) -> SiteVerdict:
        return SiteVerdict(ready=True, isolation="none", message="Nothing really runs here.")

    def capacity(self) -> Mapping[str, Capacity]:
        with _Call(self, "capacity"):
            return {"": capacity_of(self.machines, overcommitted=False)} if self.machines else {}

    def ensure_tenant(self, tenant_id: UUID, name: str, limits: Limits) -> tuple[Drift, ...]:
        with _Call(self, "ensure_tenant"):
            self._tenants.add(tenant_id)
            return tuple(self.fence_differs.pop(tenant_id, ()))

    def remove_tenant(self, tenant_id: UUID) -> None:
        with _Call(self, "remove_tenant"):
            self._tenants.discard(tenant_id)

    def apply(self, desired: Desired) -> None:
        with _Call(self, "apply"):
            if self.data_lost and desired.with_data:
                raise Permanent("STORAGE_LOST", "the volumes of this cluster are gone")
            if desired.run <= self._ended.get(desired.cluster.id, 0):
                return
            cluster = self._clusters.setdefault(desired.cluster.id, _Cluster(desired.cluster.tenant_id))
            cluster.secrets = dict(desired.secrets)
            if desired.repair:
                self.drift.pop(desired.cluster.id, None)
            wanted = {(desired.run, node.name, node.attempt): node for node in desired.nodes}
            for key in [key for key in cluster.nodes if key[0] == desired.run and key not in wanted]:
                self._drop(desired.cluster.id, cluster, key)
            cluster.volumes = {name for name in cluster.volumes if desired.is_kept(name)}
            cluster.volumes |= {node.name for node in desired.nodes}
            for key, node in wanted.items():
                self._make(desired.cluster.id, cluster, key, node)

    def begin_drain(self, cluster: ClusterRef, nodes: Sequence[NodeRef], seconds: int) -> None:
        with _Call(self, "begin_drain"):
            for key in self._keys(cluster.id, nodes):
                observation = self._clusters[cluster.id].nodes[key]
                if observation.state in {NodeState.READY, NodeState.UNREADY}:
                    report = DrainReport(DrainOutcome.DRAINED, 0.0, tasks_start=0, tasks_end=0)
                    self._record(replace(observation, state=NodeState.DRAINED, drain=report))

    def end_run(self, cluster: ClusterRef, run: int, *, force: bool = False) -> None:
        with _Call(self, "end_run"):
            self._ended[cluster.id] = max(self._ended.get(cluster.id, 0), run)
            if cluster.id in self.stuck:
                return
            if found := self._clusters.get(cluster.id):
                for key in [key for key in found.nodes if key[0] <= run]:
                    self._drop(cluster.id, found, key)

    def remove(self, cluster: ClusterRef, *, force: bool = False) -> None:
        with _Call(self, "remove"):
            self._ended[cluster.id] = math.inf
            if cluster.id in self.stuck:
                return
            if found := self._clusters.pop(cluster.id, None):
                for key in list(found.nodes):
                    self._drop(cluster.id, found, key)

    def look(self, cluster: ClusterRef, names: Iterable[str]) -> ClusterObservation:
        with _Call(self, "look"):
            return self._observed(cluster.id)

    def load(self, cluster: ClusterRef, nodes: Sequence[NodeRef]) -> Mapping[str, Load]:
        with _Call(self, "load"):
            return {node.name: self.loads.get(node.name, Load(busy=None)) for node in nodes}

    def list_all(self) -> Iterator[FoundCluster | DriftedTenant]:
        with _Call(self, "list_all"):
            found = [
                FoundCluster(key, item.tenant_id, self._observed(key), self.drift.get(key, ()), item.run)
                for key, item in self._clusters.items()
            ]
            drifted = [DriftedTenant(tenant) for tenant in self.fence_differs]
        yield from found
        yield from drifted

    def events(self) -> Iterator[NodeObservation | None]:
        while True:
            try:
                yield self._events.get(timeout=1.0)
            except queue.Empty:
                yield None

    def logs(self, cluster: ClusterRef, node: NodeRef, *, tail_bytes: int) -> bytes:
        known = self._keys(cluster.id, [node])
        return f"{node.name} of {cluster.name} wrote this\n".encode()[-tail_bytes:] if known else b""

    def follow(self, cluster: ClusterRef, node: NodeRef) -> Iterator[bytes]:
        while self._keys(cluster.id, [node]):
            yield b""
            time.sleep(0.05)

    # -- for tests --------------------------------------------------------------------------------------

    def end_node(self, cluster_id: UUID, name: str, message: str = "exited with 1") -> None:
        """Have the node end as if its command had ended by itself."""
        for observation in self.alive(cluster_id):
            if observation.name == name:
                self._record(
                    replace(observation, state=NodeState.ENDED, reason="EXITED", message=message, exit_code=1)
                )

    def get_ready(self, cluster_id: UUID) -> None:
        """Let every node of `unready` become ready."""
        self.unready.clear()
        for observation in self.alive(cluster_id):
            if observation.state is NodeState.STARTING:
                self._record(_ready(observation))

    def alive(self, cluster_id: UUID) -> list[NodeObservation]:
        found = self._clusters.get(cluster_id)
        return (
            [observation for observation in found.nodes.values() if observation.state is not NodeState.ENDED]
            if found
            else []
        )

    def secrets(self, cluster_id: UUID) -> Mapping[str, str]:
        """The secrets of the last `apply` of this cluster."""
        return self._clusters[cluster_id].secrets

    def news(self) -> list[NodeObservation]:
        """The events since the last call, for tests that deliver or lose them on purpose."""
        found = []
        while not self._events.empty():
            found.append(self._events.get())
        return found

    # -- helpers ---------------------------------------------------------------------------------------------------

    def _keys(self, cluster_id: UUID, nodes: Sequence[NodeRef]) -> list[Key]:
        found = self._clusters.get(cluster_id)
        attempts = {(node.name, node.attempt) for node in nodes}
        return [key for key in found.nodes if key[1:] in attempts] if found else []

    def _observed(self, cluster_id: UUID) -> ClusterObservation:
        found = self._clusters.get(cluster_id)
        if found is None:
            return ClusterObservation(exists=False)
        stuck = [self.stuck[cluster_id]] if cluster_id in self.stuck and cluster_id in self._ended else []
        return ClusterObservation(True, tuple(found.nodes.values()), frozenset(found.volumes), tuple(stuck))

    def _make(self, cluster_id: UUID, cluster: _Cluster, key: Key, node: DesiredNode) -> None:
        older = [other for other in cluster.nodes if other[1] == node.name and other != key]
        if key in cluster.nodes or key in cluster.cleared or older:
            return
        self.made[node.name] += 1
        now = datetime.now(UTC)
        run, name, attempt = key
        observation = NodeObservation(
            cluster_id=cluster_id,
            run=run,
            name=name,
            attempt=attempt,
            version=0,
            state=NodeState.STARTING,
            incarnation=f"{name}/{run}.{attempt}",
            address="127.0.0.1",
            stages=dict.fromkeys(STAGES[:-1], now),
        )
        self._record(observation if name in self.unready else _ready(observation))

    def _drop(self, cluster_id: UUID, cluster: _Cluster, key: Key) -> None:
        observation = cluster.nodes.pop(key)
        cluster.cleared.add(key)
        self.ended[observation.name] += 1
        self._events.put(replace(observation, state=NodeState.GONE, version=observation.version + 1))

    def _record(self, observation: NodeObservation) -> None:
        observation = replace(observation, version=observation.version + 1)
        self._clusters[observation.cluster_id].nodes[
            observation.run, observation.name, observation.attempt
        ] = observation
        self._events.put(observation)


def _ready(observation: NodeObservation) -> NodeObservation:
    return replace(
        observation, state=NodeState.READY, stages={**observation.stages, "ready": datetime.now(UTC)}
    )


@dataclass
class _Call:
    """Counts a call, runs the hooks of tests before and after it, and lets one call run at a time."""

    site: FakeProvisioner
    name: str

    def __enter__(self) -> None:
        self.site.calls[self.name] += 1
        self.site.before_call(self.name)
        self.site._lock.acquire()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.site._lock.release()
        if kind is None:
            self.site.after_call(self.name)
