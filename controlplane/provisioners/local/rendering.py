"""From what is desired to what one node's launcher is given: values, environment, command and files. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane.provisioners.base import Desired, DesiredNode, Permanent
from controlplane.provisioners.local.assets import inside
from controlplane.provisioners.local.layout import NodeFolder
from controlplane.provisioners.local.processes import NODE_VARIABLE
from controlplane.provisioners.local.runtimes import LocalRuntime
from templates.placeholders import BadPlaceholder, render, setting_values
from templates.schema import Role

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a node needs to know of the site. addresses: of every node of the cluster, by name."""

    app: Path
    shared: Path
    runtime: LocalRuntime
    addresses: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Rendered:
    """files: path below {dir.conf} -> content."""

    command: tuple[str, ...]
    env: Mapping[str, str]
    files: Mapping[str, str]


def rendered(desired: Desired, node: DesiredNode, folder: NodeFolder, around: Surroundings) -> Rendered:
    """Raises Permanent when the app asks for something that is not there."""
    role = desired.launch.app.role(node.role)
    open_values = _values(desired, node, folder, around)
    values = open_values | {f"secret.{name}": value for name, value in desired.secrets.items()}
    try:
        return Rendered(
            # Whoever may list processes sees a command: no secret is known there.
            tuple(render(part, open_values) for part in role.command),
            _environment(desired, node, folder, around)
            | {name: render(text, values) for name, text in role.env.items()},
            {str(inside(file.path)): render(file.content, values) for file in role.files},
        )
    except BadPlaceholder as error:
        raise Permanent("APP_INVALID", f"{role.name}: {error}") from error


def spec(
    desired: Desired, node: DesiredNode, folder: NodeFolder, around: Surroundings, given: Rendered, at: float
) -> dict[str, Any]:
    """What the launcher reads. at: seconds since the epoch."""
    role = desired.launch.app.role(node.role)
    hooks = {name: getattr(role.hooks, name) for name in ("ready", "busy", "drain", "info")}
    return {
        "format": 1,
        "id": folder.id,
        "generation": desired.generation,
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


def _values(desired: Desired, node: DesiredNode, folder: NodeFolder, around: Surroundings) -> dict[str, str]:
    app = desired.launch.app
    role = app.role(node.role)
    heap = max(0, node.each.memory - role.overhead)
    values = {
        "node": node.name,
        "cluster": desired.cluster.name,
        "index": str(node.index),
        "address": around.addresses[node.name],
        "dir.home": str(folder.home),
        "dir.work": str(folder.work),
        "dir.shared": str(around.shared),
        "dir.conf": str(folder.conf),
        "dir.app": str(around.app),
        "memory_mib": str(node.each.memory // MEBIBYTE),
        "heap_mib": str(heap // MEBIBYTE),
        "cores": str(max(1, node.each.cpu // 1000)),
        "runtime.python": str(around.runtime.python),
        "runtime.java": str(around.runtime.java or ""),
        "runtime.home": str(around.runtime.home),
    }
    values |= {f"port.{name}": str(port) for name, port in role.ports.items()}
    values |= setting_values(desired.launch.settings)
    for other in app.roles:
        values |= _peers(other, _addresses_of(desired, other, around.addresses))
    return values


def places(desired: Desired) -> list[DesiredNode]:
    """Every node that the cluster has or is about to have again, in the order of groups, then of index.

    One that is just being replaced is not listed; its name, and with it its address, is that of its next birth.
    """
    listed = {node.name: node for node in desired.nodes}
    for group in desired.launch.groups:
        missing = group.count - sum(node.group == group.name for node in desired.nodes)
        free = (index for index in range(len(listed) + group.count) if f"{group.name}-{index}" not in listed)
        for index, _ in zip(free, range(missing), strict=False):
            name = f"{group.name}-{index}"
            listed[name] = DesiredNode(name, 0, group.name, group.role, index, group.each)
    order = {group.name: place for place, group in enumerate(desired.launch.groups)}
    return sorted(listed.values(), key=lambda node: (order.get(node.group, len(order)), node.index))


def _addresses_of(desired: Desired, role: Role, addresses: Mapping[str, str]) -> list[str]:
    return [addresses[node.name] for node in places(desired) if node.role == role.name]


def _peers(role: Role, addresses: Sequence[str]) -> dict[str, str]:
    first = addresses[0] if addresses else ""
    values = {f"first.{role.name}.address": first}
    for name, port in role.ports.items():
        values[f"first.{role.name}.port.{name}"] = str(port) if first else ""
        values[f"peers.{role.name}.{name}"] = ",".join(f"{address}:{port}" for address in addresses)
    return values


def _environment(
    desired: Desired, node: DesiredNode, folder: NodeFolder, around: Surroundings
) -> dict[str, str]:
    """What every process of the node is given, its hooks included; nothing of ours is passed on."""
    app = desired.launch.app
    role = app.role(node.role)
    env = {
        "PATH": around.runtime.path,
        "HOME": str(folder.home),
        "TMPDIR": str(folder.tmp),
        "LANG": "C.UTF-8",
        NODE_VARIABLE: folder.id,
        "SLIPWAY_ADDRESS": around.addresses[node.name],
        "SLIPWAY_ROLE": role.name,
        "SLIPWAY_DIR_CONF": str(folder.conf),
        "SLIPWAY_DIR_HOME": str(folder.home),
        "SLIPWAY_DIR_WORK": str(folder.work),
        "SLIPWAY_DIR_SHARED": str(around.shared),
        "SLIPWAY_DIR_APP": str(around.app),
        "SLIPWAY_RUNTIME_PYTHON": str(around.runtime.python),
    }
    if around.runtime.java:
        env["JAVA_HOME"] = str(around.runtime.java)
    env |= {f"SLIPWAY_PORT_{_upper(name)}": str(port) for name, port in role.ports.items()}
    for other in app.roles:
        found = _addresses_of(desired, other, around.addresses)
        env[f"SLIPWAY_FIRST_{_upper(other.name)}_ADDRESS"] = found[0] if found else ""
    return env


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")
