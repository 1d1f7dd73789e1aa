"""The provisioner of the site that is this machine."""

import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial, wraps
from pathlib import Path
from typing import ParamSpec, TypeVar
from uuid import UUID

import structlog

from controlplane.provisioners.base import (
    Capacity,
    ClusterObservation,
    ClusterRef,
    Desired,
    Drift,
    FoundCluster,
    Limits,
    Load,
    NodeObservation,
    NodeRef,
    NotYet,
    SiteUnknown,
    SiteVerdict,
    Temporary,
    capacity_of,
)
from controlplane.provisioners.local.launcher import node_log
from controlplane.provisioners.local.launcher.launcher import DRAIN
from controlplane.provisioners.local.layout import ClusterFolder, Layout, NodeFolder
from controlplane.provisioners.local.nodes import (
    addresses,
    busy_hooks,
    lifecycle,
    node_attempts,
    run_fence,
    transitions,
    trash,
)
from controlplane.system import files
from tenants.amounts import Amounts

P = ParamSpec("P")
R = TypeVar("R")
logger = structlog.get_logger(__name__)
# With less free disk space than this, no node is made.
MIN_FREE_BYTES = 1024 * 1024 * 1024


def _disk_errors(call: Callable[P, R]) -> Callable[P, R]:
    """Have the call raise NotYet DISK_REFUSED instead of OSError."""

    @wraps(call)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return call(*args, **kwargs)
        except OSError as error:
            raise _disk_refused(error) from error

    return guarded


def _disk_refused(error: OSError) -> NotYet:
    return NotYet(
        "DISK_REFUSED", f"{error.strerror or error}: {error.filename or 'the data directory'}", delay=5
    )


class LocalProvisioner:
    """See `base.Provisioner`. Stateless: every call reads folders and launchers anew. root: the site's folder."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root.absolute())
        files.make_folder(self.layout.root)
        files.make_folder(self.layout.events)

    @_disk_errors
    def check(self) -> SiteVerdict:
        trash.empty(self.layout)
        problem = _find_problem(self.layout.root)
        return SiteVerdict(ready=not problem, isolation="none", message=problem)

    def capacity(self) -> Mapping[str, Capacity]:
        """The whole machine. The sum of all nodes may be more than it has, but no single node."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        machine = Amounts(cpu=len(os.sched_getaffinity(0)) * 1000, memory=memory)
        return {"": capacity_of([machine], overcommitted=True)}

    @_disk_errors
    def ensure_tenant(self, tenant_id: UUID, name: str, limits: Limits) -> tuple[Drift, ...]:
        files.make_folder(self.layout.shared(tenant_id))
        return ()

    @_disk_errors
    def remove_tenant(self, tenant_id: UUID) -> None:
        for folder in self.layout.clusters():
            if _belongs_to(folder, tenant_id):
                self._remove(folder, force=True)
        trash.throw_away(self.layout, self.layout.shared(tenant_id).parent)
        trash.empty(self.layout)

    @_disk_errors
    def apply(self, desired: Desired) -> None:
        folder = self.layout.cluster(desired.cluster.id)
        with run_fence.locked(folder) as fence:
            lifecycle.apply(self.layout, folder, fence, desired)

    @_disk_errors
    def begin_drain(self, cluster: ClusterRef, nodes: Sequence[NodeRef], seconds: int) -> None:
        for node in self._attempts(cluster, nodes):
            files.write_json(node.path / "drain.json", {"seconds": seconds})
            node_attempts.signal_launcher(node, DRAIN)

    @_disk_errors
    def end_run(self, cluster: ClusterRef, run: int, *, force: bool = False) -> None:
        folder = self.layout.cluster(cluster.id)
        with run_fence.locked(folder) as fence:
            fence.end(run)
            lifecycle.end_nodes(
                self.layout, [node for node in folder.nodes() if node.run <= run], force=force
            )

    @_disk_errors
    def remove(self, cluster: ClusterRef, *, force: bool = False) -> None:
        self._remove(self.layout.cluster(cluster.id), force=force)

    def _remove(self, folder: ClusterFolder, *, force: bool) -> None:
        with run_fence.locked(folder) as fence:
            fence.remove()
            lifecycle.end_nodes(self.layout, folder.nodes(), force=force)
            lifecycle.sweep(self.layout, folder, fence)

    @_disk_errors
    def look(self, cluster: ClusterRef, names: Iterable[str]) -> ClusterObservation:
        return self._observe(self.layout.cluster(cluster.id))

    def _observe(self, folder: ClusterFolder) -> ClusterObservation:
        if folder.path.exists():
            # Clear away what has ended. A call that holds the lock now does it as well.
            with suppress(Temporary), run_fence.locked(folder, wait=0) as fence:
                lifecycle.sweep(self.layout, folder, fence)
        observations = [node_attempts.observe(node) for node in folder.nodes()]
        return ClusterObservation(
            folder.path.exists(),
            tuple(observation for observation in observations if observation),
            frozenset(folder.homes()),
        )

    @_disk_errors
    def load(self, cluster: ClusterRef, nodes: Sequence[NodeRef]) -> Mapping[str, Load]:
        return busy_hooks.read_loads(self._attempts(cluster, nodes))

    def list_all(self) -> Iterator[FoundCluster]:
        errors: list[Temporary] = []
        for folder in self.layout.clusters():
            try:
                found = self._found(folder)
            except Temporary as error:
                errors.append(error)
                continue
            if found.observed.exists:
                yield found
        if errors:
            raise errors[0]

    @_disk_errors
    def _found(self, folder: ClusterFolder) -> FoundCluster:
        tenant = _tenant(folder)
        return FoundCluster(folder.id, tenant, self._observe(folder))

    def events(self) -> Iterator[NodeObservation | None]:
        try:
            yield from transitions.transitions(self.layout)
        except OSError as error:
            raise _disk_refused(error) from error

    @_disk_errors
    def logs(self, cluster: ClusterRef, node: NodeRef, *, tail_bytes: int) -> bytes:
        for attempt in self._attempts(cluster, [node]):
            return node_log.tail(str(attempt.path), tail_bytes)
        kept = NodeFolder(self.layout.cluster(cluster.id), 0, node.name, node.attempt).kept_log
        return kept.read_bytes()[-tail_bytes:] if kept.exists() else b""

    def follow(self, cluster: ClusterRef, node: NodeRef) -> Iterator[bytes]:
        for attempt in self._attempts(cluster, [node]):
            yield from node_log.follow(str(attempt.path), partial(node_attempts.is_over, attempt))

    def _attempts(self, cluster: ClusterRef, nodes: Iterable[NodeRef]) -> list[NodeFolder]:
        """The folders of these attempts in the newest run that has them. Attempts without a folder are left out."""
        newest = {(node.name, node.attempt): node for node in self.layout.cluster(cluster.id).nodes()}
        return [newest[node.name, node.attempt] for node in nodes if (node.name, node.attempt) in newest]


def _find_problem(root: Path) -> str:
    """Why no node can be made on this machine, as a sentence for people; "" when nodes can be made."""
    try:
        room = os.statvfs(root)
        if room.f_bavail * room.f_frsize < MIN_FREE_BYTES:
            return f"less than 1 GiB is free at {root}"
        files.write(root / "writable", b"")
        with socket.socket() as probe:
            probe.bind((str(addresses.RANGE[1]), 0))
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        return _disk_refused(error).message
    return ""


def _belongs_to(folder: ClusterFolder, tenant_id: UUID) -> bool:
    """False also when the cluster's record is damaged, so that such a cluster blocks no other tenant's removal.

    `list_all` raises an error that names the cluster until an admin has repaired it.
    """
    try:
        return _tenant(folder) == tenant_id
    except Temporary as error:
        logger.warning("cluster_unreadable", cluster=str(folder.id), error=error.message[:200])
        return False


def _tenant(folder: ClusterFolder) -> UUID:
    try:
        return UUID(files.read_json(folder.meta)["tenant"])
    except (OSError, ValueError, KeyError) as error:
        raise SiteUnknown("CLUSTER_UNREADABLE", f"{folder.meta} cannot be read: {error}", delay=30) from error
