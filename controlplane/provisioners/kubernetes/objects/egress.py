"""The addresses outside a cluster that its nodes may connect to: what the site allows, but no metadata service."""

import ipaddress
from collections.abc import Iterable
from typing import Any

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Metadata services of clouds. They give credentials of the machine to every process on it.
_SERVICES = tuple(
    ipaddress.ip_network(text)
    for text in ("169.254.169.254/32", "100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::254/128")
)
METADATA = (ipaddress.ip_network("169.254.0.0/16"), ipaddress.ip_network("fe80::/10"), *_SERVICES[1:])


def blocks(cidrs: Iterable[str]) -> list[dict[str, Any]]:
    """Peers of a NetworkPolicy for `cidrs`, except the metadata services that lie in them."""
    networks = (ipaddress.ip_network(cidr, False) for cidr in cidrs)
    return [
        _peer(network, METADATA)
        for network in networks
        if not any(_contains(hole, network) for hole in METADATA)
    ]


def named(cidrs: Iterable[str]) -> list[dict[str, Any]]:
    """Peers for servers that a site admin names one by one.

    They may be link-local, as NodeLocal DNS at 169.254.20.10 is, so only the metadata services are left out.
    """
    networks = (ipaddress.ip_network(cidr, False) for cidr in cidrs)
    return [_peer(network, _SERVICES) for network in networks if network not in _SERVICES]


def _peer(network: Network, holes: Iterable[Network]) -> dict[str, Any]:
    left_out = [str(hole) for hole in holes if _contains(network, hole)]
    block: dict[str, Any] = {"cidr": str(network)}
    return {"ipBlock": block | ({"except": left_out} if left_out else {})}


def _contains(outer: Network, inner: Network) -> bool:
    if isinstance(outer, ipaddress.IPv4Network):
        return isinstance(inner, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(inner, ipaddress.IPv6Network) and inner.subnet_of(outer)
