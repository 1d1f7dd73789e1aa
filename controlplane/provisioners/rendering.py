"""From what is desired to what one node is given: command, environment and files. Pure, and the same on every site."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import PurePosixPath

from controlplane.provisioners.base import Desired, DesiredNode, Permanent
from templates import placeholders
from templates.placeholders import BadPlaceholder, render, setting_values
from templates.schema import Role

MEBIBYTE = 1024 * 1024
KEYS = "secret."


@dataclass(frozen=True, slots=True)
class NodeEnvironment:
    """What a node finds around it: its folders, its runtime, and the other nodes of its cluster.

    packages: root of the environment in which the users' code runs: the runtime, or one over it.
    java: "" where the role has none. path: PATH, for a role that does not choose its own. addresses: by node.
    peers: see `peers`.
    """

    home: str
    work: str
    tmp: str
    shared: str
    conf: str
    app: str
    runtime: str
    python: str
    packages: str
    java: str
    path: str
    addresses: Mapping[str, str]
    peers: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Rendered:
    """files: path below {dir.conf} -> content. secret_env: the names in `env` whose values nobody else may see."""

    command: tuple[str, ...]
    env: Mapping[str, str]
    files: Mapping[str, str]
    secret_env: frozenset[str] = frozenset()


def rendered(desired: Desired, node: DesiredNode, around: NodeEnvironment) -> Rendered:
    """Raises Permanent when the app asks for something that is not there."""
    role = desired.launch.app.role(node.role)
    open_values = _values(desired, node, around)
    values = open_values | {f"{KEYS}{name}": value for name, value in desired.secrets.items()}
    try:
        return Rendered(
            # Whoever may list processes sees a command: no secret is known there.
            tuple(render(part, open_values) for part in role.command),
            _environment(desired, node, around)
            | {name: render(text, values) for name, text in role.env.items()},
            {str(inside(file.path)): render(file.content, values) for file in role.files},
            frozenset(name for name, text in role.env.items() if secrets_in(text)),
        )
    except BadPlaceholder as error:
        raise Permanent("APP_INVALID", f"{role.name}: {error}") from error


def inside(path: str) -> PurePosixPath:
    """`path`, which must stay below the folder that it is put in."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts:
        raise Permanent("APP_INVALID", f"{path!r} leads out of its folder")
    return pure


def places(desired: Desired) -> list[DesiredNode]:
    """Every node that the cluster has or is about to have again, in the order of groups, then of index.

    One that is just being replaced is not listed; its name, and with it its address, is that of its next attempt.
    """
    listed = {node.name: node for node in desired.nodes}
    for group in desired.launch.groups:
        missing = group.count - sum(node.group == group.name for node in desired.nodes)
        for index in islice(_absent(group.name, listed, desired.keeps or ()), max(0, missing)):
            name = f"{group.name}-{index}"
            listed[name] = DesiredNode(name, 0, group.name, group.role, index, group.each)
    order = {group.name: place for place, group in enumerate(desired.launch.groups)}
    return sorted(listed.values(), key=lambda node: (order.get(node.group, len(order)), node.index))


def _absent(group: str, listed: Collection[str], keeps: Collection[str]) -> Iterator[int]:
    """Numbers of nodes that are not listed: of those that will be made again, then the lowest free ones."""
    kept = (name.rpartition("-") for name in sorted(keeps) if name not in listed)
    named = [int(index) for name, _, index in kept if name == group]
    yield from named
    yield from (index for index in count() if index not in named and f"{group}-{index}" not in listed)


def peers(desired: Desired, addresses: Mapping[str, str]) -> dict[str, list[str]]:
    """The addresses of all nodes of a role, in the order of `places`; no role is missing."""
    found: dict[str, list[str]] = {role.name: [] for role in desired.launch.app.roles}
    for node in places(desired):
        found[node.role].append(addresses[node.name])
    return found


def _values(desired: Desired, node: DesiredNode, around: NodeEnvironment) -> dict[str, str]:
    app = desired.launch.app
    role = app.role(node.role)
    heap = max(0, node.each.memory - role.overhead)
    values = {
        "node": node.name,
        "cluster": desired.cluster.name,
        "index": str(node.index),
        "restart": str(desired.restart),
        "address": around.addresses[node.name],
        "dir.home": around.home,
        "dir.work": around.work,
        "dir.shared": around.shared,
        "dir.conf": around.conf,
        "dir.app": around.app,
        "memory_mib": str(node.each.memory // MEBIBYTE),
        "heap_mib": str(heap // MEBIBYTE),
        "cores": str(max(1, node.each.cpu // 1000)),
        "runtime.python": around.python,
        "runtime.java": around.java,
        "runtime.home": around.runtime,
        "packages.python": f"{around.packages}/bin/python",
        "packages.home": around.packages,
    }
    values |= {f"port.{name}": str(port) for name, port in role.ports.items()}
    values |= setting_values(desired.launch.settings)
    for other in app.roles:
        values |= _peers(other, around.peers[other.name])
    return values


def _peers(role: Role, addresses: Sequence[str]) -> dict[str, str]:
    first = addresses[0] if addresses else ""
    values = {f"first.{role.name}.address": first}
    for name, port in role.ports.items():
        values[f"first.{role.name}.port.{name}"] = str(port) if first else ""
        values[f"peers.{role.name}.{name}"] = ",".join(f"{address}:{port}" for address in addresses)
    return values


def _environment(desired: Desired, node: DesiredNode, around: NodeEnvironment) -> dict[str, str]:
    """What every process of the node is given, its hooks included; nothing of ours is passed on."""
    app = desired.launch.app
    role = app.role(node.role)
    env = {
        "PATH": around.path,
        "HOME": around.home,
        "TMPDIR": around.tmp,
        "LANG": "C.UTF-8",
        "SLIPWAY_ADDRESS": around.addresses[node.name],
        "SLIPWAY_ROLE": role.name,
        "SLIPWAY_DIR_CONF": around.conf,
        "SLIPWAY_DIR_HOME": around.home,
        "SLIPWAY_DIR_WORK": around.work,
        "SLIPWAY_DIR_SHARED": around.shared,
        "SLIPWAY_DIR_APP": around.app,
        "SLIPWAY_RUNTIME_PYTHON": around.python,
    }
    if around.java:
        env["JAVA_HOME"] = around.java
    env |= {f"SLIPWAY_PORT_{_upper(name)}": str(port) for name, port in role.ports.items()}
    for other in app.roles:
        found = around.peers[other.name]
        env[f"SLIPWAY_FIRST_{_upper(other.name)}_ADDRESS"] = found[0] if found else ""
    return env


def secrets_in(text: str) -> set[str]:
    """The names of the secrets that a text asks for."""
    return {name.removeprefix(KEYS) for name in placeholders.names(text) if name.startswith(KEYS)}


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")
