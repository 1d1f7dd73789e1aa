"""Command, environment and files of one node, rendered from the app's placeholders. Pure; the same on every site."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import PurePosixPath

from controlplane.provisioners.base import Desired, DesiredNode, Permanent
from templates import placeholders
from templates.placeholders import BadPlaceholder, render, setting_values
from templates.schema import Role

MEBIBYTE = 1024 * 1024
# Placeholders of secrets begin with it: {secret.spark}.
SECRET_PREFIX = "secret."  # noqa: S105 - not a secret


@dataclass(frozen=True, slots=True)
class NodeEnvironment:
    """What a node finds on its site: its folders, its runtime, and the other nodes of its cluster.

    packages: root of the Python environment in which the users' code runs: the runtime's own, or one on top of it.
    java: JAVA_HOME, "" where the role needs no Java. path: PATH, for a role that does not set its own.
    addresses: node name -> address. peers: role name -> addresses, see `peers`.
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
    """files: path below {dir.conf} -> content. secret_env: the names in `env` whose values hold a secret."""

    command: tuple[str, ...]
    env: Mapping[str, str]
    files: Mapping[str, str]
    secret_env: frozenset[str] = frozenset()


def render_node(desired: Desired, node: DesiredNode, environment: NodeEnvironment) -> Rendered:
    """Raises Permanent APP_INVALID when the app uses a placeholder that does not exist."""
    role = desired.launch.app.role(node.role)
    public_values = _values(desired, node, environment)
    values = public_values | {f"{SECRET_PREFIX}{name}": value for name, value in desired.secrets.items()}
    try:
        return Rendered(
            # Every user of a machine may list the commands of its processes: no secret is available there.
            tuple(render(part, public_values) for part in role.command),
            _base_env(desired, node, environment)
            | {name: render(text, values) for name, text in role.env.items()},
            {str(contained_path(file.path)): render(file.content, values) for file in role.files},
            frozenset(name for name, text in role.env.items() if secret_names(text)),
        )
    except BadPlaceholder as error:
        raise Permanent("APP_INVALID", f"{role.name}: {error}") from error


def contained_path(path: str) -> PurePosixPath:
    """`path`, relative to a folder of the node. Raises Permanent APP_INVALID when it leads out of the folder."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts:
        raise Permanent("APP_INVALID", f"{path!r} leads out of its folder")
    return pure


def expected_nodes(desired: Desired) -> list[DesiredNode]:
    """Every node that the cluster has or will have again, in the order of groups, then of index.

    A node that is being replaced is not in `desired.nodes`, but it is here: its next attempt has the same name and
    address, and its peers must be able to name it meanwhile.
    """
    nodes = {node.name: node for node in desired.nodes}
    for group in desired.launch.groups:
        missing = group.count - sum(node.group == group.name for node in desired.nodes)
        for index in islice(_unused_indexes(group.name, nodes, desired.keeps or ()), max(0, missing)):
            name = f"{group.name}-{index}"
            nodes[name] = DesiredNode(name, 0, group.name, group.role, index, group.each)
    order = {group.name: position for position, group in enumerate(desired.launch.groups)}
    return sorted(nodes.values(), key=lambda node: (order.get(node.group, len(order)), node.index))


def _unused_indexes(group: str, used: Collection[str], keeps: Collection[str]) -> Iterator[int]:
    """Indexes of nodes whose names are not used: first those whose volumes are kept, then the lowest free ones."""
    kept = (name.rpartition("-") for name in sorted(keeps) if name not in used)
    indexes = [int(index) for name, _, index in kept if name == group]
    yield from indexes
    yield from (index for index in count() if index not in indexes and f"{group}-{index}" not in used)


def peers(desired: Desired, addresses: Mapping[str, str]) -> dict[str, list[str]]:
    """Role name -> the addresses of its nodes, in the order of `expected_nodes`. Has an entry for every role."""
    found: dict[str, list[str]] = {role.name: [] for role in desired.launch.app.roles}
    for node in expected_nodes(desired):
        found[node.role].append(addresses[node.name])
    return found


def secret_names(text: str) -> set[str]:
    """The names of the secrets whose placeholders are in this text."""
    return {
        name.removeprefix(SECRET_PREFIX)
        for name in placeholders.names(text)
        if name.startswith(SECRET_PREFIX)
    }


def _values(desired: Desired, node: DesiredNode, environment: NodeEnvironment) -> dict[str, str]:
    """Placeholder -> value, without secrets."""
    app = desired.launch.app
    role = app.role(node.role)
    heap = max(0, node.each.memory - role.overhead)
    values = {
        "node": node.name,
        "cluster": desired.cluster.name,
        "index": str(node.index),
        "restart": str(desired.restart),
        "address": environment.addresses[node.name],
        "dir.home": environment.home,
        "dir.work": environment.work,
        "dir.shared": environment.shared,
        "dir.conf": environment.conf,
        "dir.app": environment.app,
        "memory_mib": str(node.each.memory // MEBIBYTE),
        "heap_mib": str(heap // MEBIBYTE),
        "cores": str(max(1, node.each.cpu // 1000)),
        "runtime.python": environment.python,
        "runtime.java": environment.java,
        "runtime.home": environment.runtime,
        "packages.python": f"{environment.packages}/bin/python",
        "packages.home": environment.packages,
    }
    values |= {f"port.{name}": str(port) for name, port in role.ports.items()}
    values |= setting_values(desired.launch.settings)
    for other in app.roles:
        values |= _peer_values(other, environment.peers[other.name])
    return values


def _peer_values(role: Role, addresses: Sequence[str]) -> dict[str, str]:
    first = addresses[0] if addresses else ""
    values = {f"first.{role.name}.address": first}
    for name, port in role.ports.items():
        values[f"first.{role.name}.port.{name}"] = str(port) if first else ""
        values[f"peers.{role.name}.{name}"] = ",".join(f"{address}:{port}" for address in addresses)
    return values


def _base_env(desired: Desired, node: DesiredNode, environment: NodeEnvironment) -> dict[str, str]:
    """The environment variables of every process of the node, hooks included. Slipway's own are not passed on."""
    app = desired.launch.app
    role = app.role(node.role)
    env = {
        "PATH": environment.path,
        "HOME": environment.home,
        "TMPDIR": environment.tmp,
        "LANG": "C.UTF-8",
        "SLIPWAY_ADDRESS": environment.addresses[node.name],
        "SLIPWAY_ROLE": role.name,
        "SLIPWAY_DIR_CONF": environment.conf,
        "SLIPWAY_DIR_HOME": environment.home,
        "SLIPWAY_DIR_WORK": environment.work,
        "SLIPWAY_DIR_SHARED": environment.shared,
        "SLIPWAY_DIR_APP": environment.app,
        "SLIPWAY_RUNTIME_PYTHON": environment.python,
    }
    if environment.java:
        env["JAVA_HOME"] = environment.java
    env |= {f"SLIPWAY_PORT_{_variable_part(name)}": str(port) for name, port in role.ports.items()}
    for other in app.roles:
        found = environment.peers[other.name]
        env[f"SLIPWAY_FIRST_{_variable_part(other.name)}_ADDRESS"] = found[0] if found else ""
    return env


def _variable_part(name: str) -> str:
    return name.upper().replace("-", "_")
