"""The contract of `provisioners.base`, kept by folders and launchers. Nothing is remembered between calls."""

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
from controlplane.provisioners.local import (
    addresses,
    attempts,
    convergence,
    files,
    ledger,
    load,
    log,
    trash,
    watching,
)
from controlplane.provisioners.local.launcher import DRAIN
from controlplane.provisioners.local.layout import ClusterFolder, Layout, NodeFolder
from tenants.amounts import Amounts

P = ParamSpec("P")
R = TypeVar("R")
logger = structlog.get_logger(__name__)
ROOM_BYTES = 1024 * 1024 * 1024


def _told(call: Callable[P, R]) -> Callable[P, R]:
    """What the disk refuses is NotYet, in one sentence."""

    @wraps(call)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return call(*args, **kwargs)
        except OSError as error:
            raise _refused(error) from error

    return guarded


def _refused(error: OSError) -> NotYet:
    return NotYet(
        "DISK_REFUSED", f"{error.strerror or error}: {error.filename or 'the data directory'}", delay=5
    )


class LocalProvisioner:
    def __init__(self, root: Path) -> None:
        self.layout = Layout(root.absolute())
        files.make_folder(str(self.layout.root))
        files.make_folder(str(self.layout.events))

    @_told
    def check(self) -> SiteVerdict:
        trash.empty(self.layout)
        if trouble := _trouble(self.layout.root):
            return SiteVerdict(ready=False, isolation="none", message=trouble)
        return SiteVerdict(ready=True, isolation="none")

    def capacity(self) -> Mapping[str, Capacity]:
        """Nodes share this machine and may together ask for more than it has; one alone may not."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        machine = Amounts(cpu=len(os.sched_getaffinity(0)) * 1000, memory=memory)
        return {"": capacity_of([machine], overcommitted=True)}

    @_told
    def ensure_tenant(self, tenant_id: UUID, name: str, limits: Limits) -> tuple[Drift, ...]:
        files.make_folder(str(self.layout.shared(tenant_id)))
        return ()

    @_told
    def remove_tenant(self, tenant_id: UUID) -> None:
        for folder in self.layout.clusters():
            if _is_of(folder, tenant_id):
                self._remove(folder, force=True)
        trash.throw_away(self.layout, self.layout.shared(tenant_id).parent)
        trash.empty(self.layout)

    @_told
    def apply(self, desired: Desired) -> None:
        folder = self.layout.cluster(desired.cluster.id)
        with ledger.locked(folder) as book:
            convergence.apply(self.layout, folder, book, desired)

    @_told
    def begin_drain(self, cluster: ClusterRef, nodes: Sequence[NodeRef], seconds: int) -> None:
        for node in self._attempts(cluster, nodes):
            files.write_json(str(node.path / "drain.json"), {"seconds": seconds})
            attempts.tell(node, DRAIN)

    @_told
    def end_run(self, cluster: ClusterRef, run: int, *, force: bool = False) -> None:
        folder = self.layout.cluster(cluster.id)
        with ledger.locked(folder) as book:
            book.end(run)
            convergence.end_nodes(
                self.layout, [node for node in folder.nodes() if node.run <= run], force=force
            )

    @_told
    def remove(self, cluster: ClusterRef, *, force: bool = False) -> None:
        self._remove(self.layout.cluster(cluster.id), force=force)

    def _remove(self, folder: ClusterFolder, *, force: bool) -> None:
        with ledger.locked(folder) as book:
            book.remove()
            convergence.end_nodes(self.layout, folder.nodes(), force=force)
            convergence.sweep(self.layout, folder, book)

    @_told
    def look(self, cluster: ClusterRef, names: Iterable[str]) -> ClusterObservation:
        return self._observe(self.layout.cluster(cluster.id))

    def _observe(self, folder: ClusterFolder) -> ClusterObservation:
        self._sweep(folder)
        seen = [attempts.observe(node) for node in folder.nodes()]
        return ClusterObservation(
            folder.path.exists(), tuple(node for node in seen if node), frozenset(folder.homes())
        )

    def _sweep(self, folder: ClusterFolder) -> None:
        """Clear away what has ended for good. Whoever changes this cluster at the moment does it as well."""
        if folder.path.exists():
            with suppress(Temporary), ledger.locked(folder, wait=0) as book:
                convergence.sweep(self.layout, folder, book)

    @_told
    def load(self, cluster: ClusterRef, nodes: Sequence[NodeRef]) -> Mapping[str, Load]:
        return load.ask(self._attempts(cluster, nodes))

    def list_all(self) -> Iterator[FoundCluster]:
        troubles: list[Temporary] = []
        for folder in self.layout.clusters():
            try:
                found = self._found(folder)
            except Temporary as trouble:
                troubles.append(trouble)
                continue
            if found.observed.exists:
                yield found
        if troubles:
            raise troubles[0]

    @_told
    def _found(self, folder: ClusterFolder) -> FoundCluster:
        tenant = _tenant(folder)
        return FoundCluster(folder.id, tenant, self._observe(folder))

    def events(self) -> Iterator[NodeObservation | None]:
        try:
            yield from watching.transitions(self.layout)
        except OSError as error:
            raise _refused(error) from error

    @_told
    def logs(self, cluster: ClusterRef, node: NodeRef, *, tail_bytes: int) -> bytes:
        for attempt in self._attempts(cluster, [node]):
            return log.tail(str(attempt.path), tail_bytes)
        kept = NodeFolder(self.layout.cluster(cluster.id), 0, node.name, node.attempt).kept_log
        return kept.read_bytes()[-tail_bytes:] if kept.exists() else b""

    def follow(self, cluster: ClusterRef, node: NodeRef) -> Iterator[bytes]:
        for attempt in self._attempts(cluster, [node]):
            yield from log.follow(str(attempt.path), partial(attempts.is_over, attempt))

    def _attempts(self, cluster: ClusterRef, nodes: Iterable[NodeRef]) -> list[NodeFolder]:
        """The folders of these attempts, of the newest run that has them; those that are gone are left out."""
        newest = {(node.name, node.attempt): node for node in self.layout.cluster(cluster.id).nodes()}
        return [newest[node.name, node.attempt] for node in nodes if (node.name, node.attempt) in newest]


def _trouble(root: Path) -> str:
    """What keeps nodes from being made on this machine, or ""."""
    try:
        room = os.statvfs(root)
        if room.f_bavail * room.f_frsize < ROOM_BYTES:
            return f"less than 1 GiB is free at {root}"
        files.write(str(root / "writable"), b"")
        with socket.socket() as probe:
            probe.bind((str(addresses.RANGE[1]), 0))
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        return _refused(error).message
    return ""


def _is_of(folder: ClusterFolder, tenant_id: UUID) -> bool:
    """Whether the cluster belongs to the tenant. A record that cannot be read keeps its own cluster and no other.

    The listing of the site names that cluster until a person has looked at it.
    """
    try:
        return _tenant(folder) == tenant_id
    except Temporary as trouble:
        logger.warning("cluster_unreadable", cluster=str(folder.id), error=trouble.message[:200])
        return False


def _tenant(folder: ClusterFolder) -> UUID:
    try:
        return UUID(files.read_json(str(folder.meta))["tenant"])
    except (OSError, ValueError, KeyError) as error:
        raise SiteUnknown("CLUSTER_UNREADABLE", f"{folder.meta} cannot be read: {error}", delay=30) from error
