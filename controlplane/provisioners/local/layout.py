"""Where things lie below the root of the site. Pure paths, except for methods that list folders.

events/                          sockets of those who want to know of changes, see `notifications`
fences/<cluster>                 which runs have ended, for ever; also the cluster's lock, see `run_fence`
addresses.json, addresses.lock   the loopback address of each node, see `addresses`
assets/<digest>/                 hooks and scripts of apps
runtimes/<app>-<version>-<hash>/ Python packages and Java
tenants/<tenant>/shared/         shared by all clusters of a tenant
tmp/<hash>/                      TMPDIR of a node; short, because paths of sockets have at most 107 bytes
trash/                           is being deleted
clusters/<cluster>/
    meta.json                    the cluster's tenant
    home/<node>/                 kept from run to run
    packages/<runtime>/          packages that users installed, kept from run to run
    logs/<node>.<attempt>          the end of the log of an attempt that was cleared away
    enter/<node>                 a script that runs a command in the node's environment
    runs/<run>/<node>.<attempt>/   spec.json status.json lock log drain.json conf/ work/
    runs/<run>/cleared/<node>.<attempt>   empty; this attempt was cleared away and is not made again
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

_ATTEMPT = re.compile(r"([a-z0-9][a-z0-9-]*)\.([0-9]+)")
_NODE = re.compile(r"[a-z0-9][a-z0-9-]*-[0-9]+")


@dataclass(frozen=True, slots=True)
class NodeFolder:
    """One attempt at one node."""

    cluster: "ClusterFolder"
    run: int
    name: str
    attempt: int

    @property
    def path(self) -> Path:
        return self.cluster.path / "runs" / str(self.run) / f"{self.name}.{self.attempt}"

    @property
    def id(self) -> str:
        """The value of SLIPWAY_NODE in the environment of all its processes."""
        return f"{self.cluster.id}/{self.name}/{self.run}.{self.attempt}"

    @property
    def lock(self) -> str:
        """Its launcher holds this lock."""
        return str(self.path / "lock")

    @property
    def conf(self) -> Path:
        return self.path / "conf"

    @property
    def work(self) -> Path:
        return self.path / "work"

    @property
    def tmp(self) -> Path:
        return self.cluster.root / "tmp" / hashlib.sha256(self.id.encode()).hexdigest()[:12]

    @property
    def home(self) -> Path:
        return self.cluster.home(self.name)

    @property
    def kept_log(self) -> Path:
        return self.cluster.path / "logs" / f"{self.name}.{self.attempt}"

    @property
    def cleared_marker(self) -> Path:
        """Exists once this attempt was cleared away; then it is not made again."""
        return self.path.parent / "cleared" / self.path.name

    @property
    def enter(self) -> Path:
        return self.cluster.path / "enter" / self.name


@dataclass(frozen=True, slots=True)
class ClusterFolder:
    root: Path
    id: UUID

    @property
    def path(self) -> Path:
        return self.root / "clusters" / str(self.id)

    @property
    def meta(self) -> Path:
        return self.path / "meta.json"

    @property
    def fence(self) -> Path:
        return self.root / "fences" / str(self.id)

    def home(self, node: str) -> Path:
        return self.path / "home" / node

    def packages(self, runtime: str) -> Path:
        """See `cluster_packages`."""
        return self.path / "packages" / runtime

    def homes(self) -> list[str]:
        """The names of all nodes that have a home folder, ended nodes included. Other folders there are left out."""
        return [name for name in _list(self.path / "home") if _NODE.fullmatch(name)]

    def nodes(self) -> list[NodeFolder]:
        """Every attempt that has a folder, oldest run first."""
        found: list[NodeFolder] = []
        for run in sorted(int(name) for name in _list(self.path / "runs") if name.isdigit()):
            parts = map(_ATTEMPT.fullmatch, sorted(_list(self.path / "runs" / str(run))))
            found += [NodeFolder(self, run, part[1], int(part[2])) for part in parts if part]
        return found


@dataclass(frozen=True, slots=True)
class Layout:
    """The site. root: an absolute path."""

    root: Path

    @property
    def events(self) -> Path:
        return self.root / "events"

    @property
    def assets(self) -> Path:
        return self.root / "assets"

    @property
    def trash(self) -> Path:
        return self.root / "trash"

    @property
    def runtimes(self) -> Path:
        """Below the root, or the folder that SLIPWAY_RUNTIME_CACHE names."""
        elsewhere = os.environ.get("SLIPWAY_RUNTIME_CACHE", "")
        return Path(elsewhere).expanduser().absolute() if elsewhere else self.root / "runtimes"

    def shared(self, tenant: UUID) -> Path:
        return self.root / "tenants" / str(tenant) / "shared"

    def cluster(self, cluster: UUID) -> ClusterFolder:
        return ClusterFolder(self.root, cluster)

    def clusters(self) -> Iterator[ClusterFolder]:
        for name in sorted(_list(self.root / "clusters")):
            try:
                yield self.cluster(UUID(name))
            except ValueError:
                continue

    def node_at(self, path: str) -> NodeFolder | None:
        """The attempt whose folder has this path, whether or not it exists; None for any other path."""
        try:
            top, cluster, runs, run, name = Path(path).relative_to(self.root).parts
            parts = _ATTEMPT.fullmatch(name)
            if (top, runs) != ("clusters", "runs") or not parts:
                return None
            return NodeFolder(self.cluster(UUID(cluster)), int(run), parts[1], int(parts[2]))
        except ValueError:
            return None


def _list(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
