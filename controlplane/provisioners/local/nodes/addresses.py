"""Loopback addresses: every node has its own, so every app uses its fixed port numbers.

An address belongs to a node's name until its cluster is removed. Two installations on one machine start at different
points of the range, and an address is assigned only after its ports were found free.
"""

import errno
import fcntl
import hashlib
import ipaddress
import os
import socket
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from controlplane.provisioners.base import NotYet
from controlplane.provisioners.local.launcher.status import Status
from controlplane.provisioners.local.layout import Layout
from controlplane.system import files

RANGE = ipaddress.ip_network("127.64.0.0/10")
# When the same port is taken at this many addresses in a row, a program listens on all addresses.
TRIES = 8


def assign(root: Path, cluster: UUID, ports: Mapping[str, Collection[int]]) -> dict[str, str]:
    """Returns node name -> address, and assigns new addresses to nodes that have none. ports: node name -> its ports.

    Raises NotYet PORT_TAKEN.
    """
    with _registry(root) as registry:
        missing = [name for name in ports if _key(cluster, name) not in registry]
        used = set(registry.values())
        candidates = _candidates(root, len(registry))
        for name in missing:
            registry[_key(cluster, name)] = address = _choose(candidates, used, ports[name])
            used.add(address)
        if missing:
            files.write_json(root / "addresses.json", registry, durable=True)
        return {name: registry[_key(cluster, name)] for name in ports}


def release(root: Path, cluster: UUID) -> None:
    with _registry(root) as registry:
        kept = {key: address for key, address in registry.items() if not key.startswith(f"{cluster}/")}
        if len(kept) < len(registry):
            files.write_json(root / "addresses.json", kept, durable=True)


def taken_port(address: str, ports: Collection[int]) -> int | None:
    """The first of `ports` on which a program listens, at this address or at all; None when all are free."""
    return next((port for port in ports if not _is_free(address, port)), None)


def _choose(candidates: Iterator[str], used: Collection[str], ports: Collection[int]) -> str:
    taken: int | None = None
    tries = 0
    for address in candidates:
        if address in used:
            continue
        taken = taken_port(address, ports)
        if taken is None:
            return address
        tries += 1
        if tries == TRIES:
            break
    raise NotYet(
        "PORT_TAKEN",
        f"port {taken} is taken on this machine by a program that listens on all addresses",
        delay=5,
    )


def _candidates(root: Path, used: int) -> Iterator[str]:
    """All addresses of the range, from a start that depends on the installation and on how many it uses."""
    size = RANGE.num_addresses
    digest = hashlib.sha256(str(root).encode()).digest()
    start = int.from_bytes(digest[:4], "big") + used
    for step in range(size):
        address = RANGE[(start + step) % size]
        if address.packed[-1] not in (0, 255):
            yield str(address)


def _is_free(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


@contextmanager
def _registry(root: Path) -> Iterator[dict[str, str]]:
    """All assigned addresses, locked while in the block: "<cluster>/<node>" -> address."""
    files.make_folder(root)
    opened = os.open(root / "addresses.lock", os.O_RDWR | os.O_CREAT, files.PRIVATE_FILE)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        try:
            registry: dict[str, str] = files.read_json(root / "addresses.json")
        except FileNotFoundError:
            registry = {}
        except ValueError:
            registry = _addresses_of_nodes(root)
        yield registry
    finally:
        os.close(opened)


def _addresses_of_nodes(root: Path) -> dict[str, str]:
    """Rebuild a damaged registry from the records of existing nodes. A node without one gets a new address."""
    found: dict[str, str] = {}
    for cluster in Layout(root).clusters():
        for node in cluster.nodes():
            try:
                found[_key(cluster.id, node.name)] = str(Status.load(str(node.path)).record["address"])
            except (FileNotFoundError, ValueError, KeyError):
                continue
    return found


def _key(cluster: UUID, name: str) -> str:
    return f"{cluster}/{name}"
