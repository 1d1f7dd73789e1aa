"""From what is desired to what one node's launcher is given. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from controlplane.provisioners import rendering
from controlplane.provisioners.base import Desired, DesiredNode
from controlplane.provisioners.local.layout import NodeFolder
from controlplane.provisioners.local.processes import NODE_VARIABLE
from controlplane.provisioners.local.runtimes import LocalRuntime
from controlplane.provisioners.rendering import Rendered, inside


@dataclass(frozen=True, slots=True)
class LocalSite:
    """What a node needs to know of the site. addresses: of every node, by name; peers: of all nodes of a role.

    packages: see `packages`.
    """

    app: Path
    shared: Path
    runtime: LocalRuntime
    packages: Path
    addresses: Mapping[str, str]
    peers: Mapping[str, Sequence[str]]

    def of(self, folder: NodeFolder) -> rendering.NodeEnvironment:
        return rendering.NodeEnvironment(
            home=str(folder.home),
            work=str(folder.work),
            tmp=str(folder.tmp),
            shared=str(self.shared),
            conf=str(folder.conf),
            app=str(self.app),
            runtime=str(self.runtime.home),
            python=str(self.runtime.python),
            packages=str(self.packages),
            java=str(self.runtime.java or ""),
            path=f"{self.packages}/bin:{self.runtime.path}",
            addresses=self.addresses,
            peers=self.peers,
        )


def rendered(desired: Desired, node: DesiredNode, folder: NodeFolder, around: LocalSite) -> Rendered:
    """Raises Permanent when the app asks for something that is not there."""
    given = rendering.rendered(desired, node, around.of(folder))
    return replace(given, env={NODE_VARIABLE: folder.id, **given.env})


def spec(
    desired: Desired, node: DesiredNode, folder: NodeFolder, around: LocalSite, given: Rendered, at: float
) -> dict[str, Any]:
    """What the launcher reads. at: seconds since the epoch."""
    role = desired.launch.app.role(node.role)
    hooks = {name: getattr(role.hooks, name) for name in ("ready", "busy", "drain", "info")}
    return {
        "format": 1,
        "id": folder.id,
        "generation": desired.generation,
        "link_version": desired.link_version,
        "applied_at": at,
        "address": around.addresses[node.name],
        "ports": sorted(role.ports.values()),
        "command": given.command,
        "env": given.env,
        "cwd": str(folder.work),
        "hooks": {name: str(around.app / inside(path)) if path else "" for name, path in hooks.items()},
        "runtime": around.runtime.needs(),
        "stop_seconds": role.stop_seconds,
    }
