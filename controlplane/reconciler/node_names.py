"""Node names as values, and the volumes that no node accounts for. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class NodeName:
    """The name of a node, group-index, such as worker-0."""

    group: str
    index: int

    def __str__(self) -> str:
        return f"{self.group}-{self.index}"


def parse_node_names(names: Iterable[str]) -> frozenset[NodeName]:
    """Parse the names that have the form group-index. Other names are left out: Slipway does not make them."""
    parts = (name.rpartition("-") for name in names)
    return frozenset(
        NodeName(group, int(index))
        for group, _, index in parts
        if group and index.isdecimal() and index == str(int(index))
    )


def orphan_volumes(
    volumes: Iterable[NodeName], groups: Iterable[str], nodes: Iterable[str]
) -> tuple[NodeName, ...]:
    """The volumes of a running cluster that belong to one of its groups and to none of its nodes, sorted."""
    known_groups, known_nodes = set(groups), set(nodes)
    return tuple(
        sorted(name for name in volumes if name.group in known_groups and str(name) not in known_nodes)
    )
