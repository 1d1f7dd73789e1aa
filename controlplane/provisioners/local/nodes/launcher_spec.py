"""What the launcher of one node needs to know, from what is desired. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from controlplane.provisioners.base import Desired, DesiredNode
from controlplane.provisioners.local.launcher.children import NODE_VARIABLE
from controlplane.provisioners.local.layout import NodeFolder
from controlplane.provisioners.local.runtimes.runtime import LocalRuntime
from controlplane.provisioners.node_environment import (
    NodeEnvironment,
    Rendered,
    contained_path,
    render_node,
)


@dataclass(frozen=True, slots=True)
class LocalSite:
    """What all nodes of one role find on this machine.

    app: the folder with the app's assets. packages: see `cluster_packages`. addresses: node name -> address.
    peers: role name -> addresses.
    """

    app: Path
    shared: Path
    runtime: LocalRuntime
    packages: Path
    addresses: Mapping[str, str]
    peers: Mapping[str, Sequence[str]]

    def render(self, desired: Desired, node: DesiredNode, folder: NodeFolder) -> Rendered:
        """Raises Permanent APP_INVALID when the app uses a placeholder that does not exist."""
        environment = NodeEnvironment(
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
        rendered = render_node(desired, node, environment)
        return replace(rendered, env={NODE_VARIABLE: folder.id, **rendered.env})


def spec(
    desired: Desired,
    node: DesiredNode,
    folder: NodeFolder,
    site: LocalSite,
    rendered: Rendered,
    applied_at: float,
) -> dict[str, Any]:
    """The content of spec.json. applied_at: seconds since the epoch."""
    role = desired.launch.app.role(node.role)
    hooks = {name: getattr(role.hooks, name) for name in ("ready", "busy", "drain", "info")}
    return {
        "format": 1,
        "id": folder.id,
        "generation": desired.generation,
        "link_version": desired.link_version,
        "applied_at": applied_at,
        "address": site.addresses[node.name],
        "ports": sorted(role.ports.values()),
        "command": rendered.command,
        "env": rendered.env,
        "cwd": str(folder.work),
        "hooks": {name: str(site.app / contained_path(path)) if path else "" for name, path in hooks.items()},
        "runtime": site.runtime.wait_spec(),
        "stop_seconds": role.stop_seconds,
    }
