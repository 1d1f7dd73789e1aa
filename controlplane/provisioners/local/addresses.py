"""Loopback addresses: every node has one of its own, so every app keeps its fixed port numbers.

An address belongs to a name in a cluster until the cluster is removed. Two installations on one machine begin at
different places of the range, and an address is given out only after its ports were found free.
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
from controlplane.provisioners.local import files
from controlplane.provisioners.local.layout import Layout
from controlplane.provisioners.local.status import Status

RANGE = ipaddress.ip_network("127.64.0.0/10")
# So many addresses in a row with the same port taken mean that something listens on all of them.
ATTEMPTS = 8


def assign(root: Path, cluster: UUID, wanted: Mapping[str, Collection[int]]) -> dict[str, str]:
    """The address of every name in `wanted` (name -> its ports), new ones where there is none yet."""
    with _registry(root) as registry:
        missing = [name for name in wanted if _key(cluster, name) not in registry]
        taken = set(registry.values())
        candidates = _candidates(root, len(registry))
        for name in missing:
            registry[_key(cluster, name)] = address = _choose(candidates, taken, wanted[name])
            taken.add(address)
        if missing:
            files.write_json(str(root / "addresses.json"), registry, durable=True)
        return {name: registry[_key(cluster, name)] for name in wanted}


def release(root: Path, cluster: UUID) -> None:
    with _registry(root) as registry:
        kept = {key: address for key, address in registry.items() if not key.startswith(f"{cluster}/")}
        if len(kept) < len(registry):
            files.write_json(str(root / "addresses.json"), kept, durable=True)


def taken_port(address: str, ports: Collection[int]) -> int | None:
    """The first of `ports` that somebody has at this address, or on all addresses."""
    return next((port for port in ports if not _is_free(address, port)), None)


def _choose(candidates: Iterator[str], taken: Collection[str], ports: Collection[int]) -> str:
    occupied: int | None = None
    attempts = 0
    for address in candidates:
        if address in taken:
            continue
        occupied = taken_port(address, ports)
        if occupied is None:
            return address
        attempts += 1
        if attempts == ATTEMPTS:
            break
    raise NotYet(
        "PORT_TAKEN",
        f"port {occupied} is taken on this machine by a program that listens on all addresses",
        delay=5,
    )


def _candidates(root: Path, used: int) -> Iterator[str]:
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
    """All addresses given out, under the lock: "cluster/name" -> address."""
    files.make_folder(str(root))
    opened = os.open(root / "addresses.lock", os.O_RDWR | os.O_CREAT, files.PRIVATE_FILE)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield _read(root)
    finally:
        os.close(opened)


def _read(root: Path) -> dict[str, str]:
    try:
        return files.read_json(str(root / "addresses.json"))
    except FileNotFoundError:
        return {}
    except ValueError:
        return _rebuilt(root)


def _rebuilt(root: Path) -> dict[str, str]:
    """From what the nodes themselves say: what has none is free to get another."""
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
