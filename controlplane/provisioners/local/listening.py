"""Whether a node has opened a port yet: far cheaper than asking its ready hook. Standard library only."""

import socket
from collections.abc import Iterable

# On loopback a connection is made or refused at once; a full backlog is asked again later.
_SECONDS = 0.05


def among(address: str, ports: Iterable[int]) -> frozenset[int]:
    """Those of `ports` on which something accepts connections at `address`."""
    return frozenset(port for port in ports if _accepts(address, port))


def _accepts(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=_SECONDS).close()
    except OSError:
        return False
    return True
