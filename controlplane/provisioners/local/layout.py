"""Where things lie below the root of the site. Nothing here touches the disk but to list it.

events/                          sockets of those who listen
ledger/<cluster>                 which runs have ended, for ever; also the cluster's lock
addresses.json, addresses.lock   which node has which loopback address
assets/<digest>/                 hooks and scripts of apps
runtimes/<app>-<version>-<hash>/ Python packages and Java
tenants/<tenant>/shared/         what all clusters of a tenant share
tmp/<hash>/                      a node's TMPDIR: short, because sockets in it have short names
trash/                           on its way out
clusters/<cluster>/
    meta.json                    whose it is
    home/<node>/                 kept from run to run
    packages/<runtime>/          what its users installed, kept from run to run
    logs/<node>.<attempt>          the end of what a cleared node wrote
    enter/<node>                 runs a command in the node's environment
    runs/<run>/<node>.<attempt>/   spec.json status.json lock log drain.json conf/ work/
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

_FOLDER = re.compile(r"([a-z0-9][a-z0-9-]*)\.([0-9]+)")
_NODE = re.compile(r"[a-z0-9][a-z0-9-]*-[0-9]+")


@dataclass(frozen=True, slots=True)
class NodeFolder:
    """One attempt of one node."""

    cluster: "ClusterFolder"
    run: int
    name: str
    attempt: int

    @property
    def path(self) -> Path:
        return self.cluster.path / "runs" / str(self.run) / f"{self.name}.{self.attempt}"

    @property
    def id(self) -> str:
        """What SLIPWAY_NODE says in the environment of all its processes."""
        return f"{self.cluster.id}/{self.name}/{self.run}.{self.attempt}"

    @property
    def lock(self) -> str:
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
    def spent(self) -> Path:
        """Is there once this attempt has been cleared away: it is not made again."""
        return self.path.parent / "spent" / self.path.name

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
    def ledger(self) -> Path:
        return self.root / "ledger" / str(self.id)

    def home(self, node: str) -> Path:
        return self.path / "home" / node

    def packages(self, runtime: str) -> Path:
        """See `packages`."""
        return self.path / "packages" / runtime

    def homes(self) -> list[str]:
        """The nodes that have one, those that are gone included. What a user has put beside them is none."""
        return [name for name in _names(self.path / "home") if _NODE.fullmatch(name)]

    def nodes(self) -> list[NodeFolder]:
        """Every attempt that has a folder, oldest run first."""
        found: list[NodeFolder] = []
        for run in sorted(int(name) for name in _names(self.path / "runs") if name.isdigit()):
            parts = map(_FOLDER.fullmatch, sorted(_names(self.path / "runs" / str(run))))
            found += [NodeFolder(self, run, part[1], int(part[2])) for part in parts if part]
        return found


@dataclass(frozen=True, slots=True)
class Layout:
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
        """Below the root, or where SLIPWAY_RUNTIME_CACHE says."""
        elsewhere = os.environ.get("SLIPWAY_RUNTIME_CACHE", "")
        return Path(elsewhere).expanduser().absolute() if elsewhere else self.root / "runtimes"

    def shared(self, tenant: UUID) -> Path:
        return self.root / "tenants" / str(tenant) / "shared"

    def cluster(self, cluster: UUID) -> ClusterFolder:
        return ClusterFolder(self.root, cluster)

    def clusters(self) -> Iterator[ClusterFolder]:
        for name in sorted(_names(self.root / "clusters")):
            try:
                yield self.cluster(UUID(name))
            except ValueError:
                continue

    def node_at(self, path: str) -> NodeFolder | None:
        """The attempt whose folder this is, also when it is there no more."""
        try:
            top, cluster, runs, run, name = Path(path).relative_to(self.root).parts
            parts = _FOLDER.fullmatch(name)
            if (top, runs) != ("clusters", "runs") or not parts:
                return None
            return NodeFolder(self.cluster(UUID(cluster)), int(run), parts[1], int(parts[2]))
        except ValueError:
            return None


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
