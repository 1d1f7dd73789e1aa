"""What becomes of each node of a running cluster: which are replaced, drained, ended or added. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from controlplane.provisioners.base import NodeState
from controlplane.reconciler.cluster.action import Orphans
from controlplane.reconciler.cluster.snapshot import (
    ALIVE,
    NO_PROBLEM,
    PlannedNode,
    Problem,
    Snapshot,
    WantedGroup,
)
from controlplane.reconciler.node_names import NodeName, orphan_volumes

# A drain hook ends by itself at its deadline. A hook that hangs is ended this much later.
DRAIN_SLACK = timedelta(seconds=5)
RETRY_LIMIT_SECONDS = 60
# An attempt that was ready for so long starts the count of failures anew.
STEADY = timedelta(seconds=30)

Nodes = tuple[PlannedNode, ...]


def is_doubtful(node: PlannedNode) -> bool:
    """Whether the node seems to have ended or gone, which only a fresh look may confirm."""
    if node.confirmed or node.ending:
        return node.state not in ALIVE
    return node.state is NodeState.ENDED


def is_lost(node: PlannedNode) -> bool:
    """Whether a node that stays has failed or is being replaced, and is not ready."""
    return not node.leaving and (node.ending or node.failures > 0) and node.state is not NodeState.READY


def is_outdated(node: PlannedNode, restart_generation: int) -> bool:
    """Whether the attempt is older than the last restart of its cluster or of the node itself."""
    return node.attempt_generation < max(restart_generation, node.restart_generation)


def must_drain(node: PlannedNode) -> bool:
    return node.leaving and not node.ending and node.state in {NodeState.READY, NodeState.UNREADY}


def in_group(nodes: Iterable[PlannedNode], group: str) -> list[PlannedNode]:
    """The nodes of a group that are not leaving."""
    return [node for node in nodes if node.group == group and not node.leaving]


# -- ended and gone attempts --------------------------------------------------------------------------------------


def update_attempts(snapshot: Snapshot) -> Nodes:
    """Take over what the observations show.

    An attempt that ended is marked ending, so that it is removed. An attempt that is gone is followed by the next
    one, or by nothing where the node was leaving. Only fresh observations may end an attempt.
    """
    return tuple(
        updated for node in snapshot.nodes if (updated := _update_attempt(snapshot, node)) is not None
    )


def _update_attempt(snapshot: Snapshot, node: PlannedNode) -> PlannedNode | None:
    if not node.confirmed and node.observation:
        node = replace(node, confirmed=True)
    if node.state is NodeState.READY and node.failures and not node.ending and _is_steady(snapshot, node):
        return replace(node, failures=0, retry_at=None)
    if not snapshot.fresh or node.state in ALIVE:
        return node
    if node.state is NodeState.ENDED:
        return node if node.ending else _count_failure(snapshot, replace(node, ending=True))
    if node.leaving:
        return None
    if not node.ending:
        if not node.confirmed:
            return node
        node = _count_failure(snapshot, node)
    return replace(
        node,
        attempt=node.attempt + 1,
        attempt_generation=snapshot.generation,
        confirmed=False,
        ending=False,
        observation=None,
    )


def _count_failure(snapshot: Snapshot, node: PlannedNode) -> PlannedNode:
    """Count an end that was not requested. The first is repaired at once, later ones after 2, 4, 8 … 60 s."""
    if node.leaving:
        return node
    before = 0 if _is_steady(snapshot, node) else node.failures
    pause = min(RETRY_LIMIT_SECONDS, 2**before) if before else 0
    return replace(node, failures=before + 1, retry_at=snapshot.now + timedelta(seconds=pause))


def _is_steady(snapshot: Snapshot, node: PlannedNode) -> bool:
    ready = node.observation.stages.get("ready") if node.observation else None
    return ready is not None and snapshot.now - ready >= STEADY


def mark_restarts(nodes: Nodes, restart_generation: int) -> Nodes:
    """Mark the outdated attempts as ending."""
    return tuple(
        replace(node, ending=True) if is_outdated(node, restart_generation) else node for node in nodes
    )


# -- too many nodes, too few nodes --------------------------------------------------------------------------------


def groups_with_surplus(groups: Iterable[WantedGroup], nodes: Nodes) -> frozenset[str]:
    return frozenset(group.name for group in groups if len(in_group(nodes, group.name)) > group.count)


def choice_matters(groups: Iterable[WantedGroup], nodes: Nodes, name: str) -> bool:
    """Whether it matters which nodes of the group leave: some stay, and a node that is at work has to leave."""
    group = next(group for group in groups if group.name == name)
    present = in_group(nodes, name)
    idle = sum(not node.ready for node in present)
    return group.drains and group.count > 0 and idle < len(present) - group.count


def shrink(snapshot: Snapshot, nodes: Nodes) -> Nodes:
    """Mark the surplus nodes as leaving: first those that are not ready, then idle ones, then the youngest.

    Nodes with a drain hook are drained first; the others end at once.
    """

    def worth(node: PlannedNode) -> tuple[bool, bool, int, int]:
        load = (snapshot.loads or {}).get(node.name)
        return (node.ready, load is None or load.busy is not False, (load and load.tasks) or 0, -node.index)

    leaving: set[str] = set()
    for group in snapshot.groups:
        present = sorted(in_group(nodes, group.name), key=worth)
        leaving.update(node.name for node in present[: max(0, len(present) - group.count)])
    drain_until = snapshot.now + timedelta(seconds=snapshot.drain_seconds)
    return tuple(
        node
        if node.name not in leaving
        else replace(node, leaving=True, drain_until=drain_until)
        if node.ready and node.drains and not snapshot.force
        else replace(node, leaving=True, ending=True)
        for node in nodes
    )


def finish_drains(snapshot: Snapshot, nodes: Nodes) -> tuple[Nodes, Nodes]:
    """Mark leaving nodes as ending once they are drained or out of time. Returns all nodes, and those marked now."""

    def is_over(node: PlannedNode) -> bool:
        late = node.drain_until is None or snapshot.now >= node.drain_until + DRAIN_SLACK
        return late or node.state is NodeState.DRAINED or (snapshot.fresh and node.state not in ALIVE)

    drained = tuple(node for node in nodes if node.leaving and not node.ending and is_over(node))
    names = {node.name for node in drained}
    return tuple(replace(node, ending=True) if node.name in names else node for node in nodes), drained


def grow(snapshot: Snapshot, nodes: Nodes) -> Nodes:
    """Add the missing nodes under the lowest free names.

    A new run takes names with a volume first, and among them last those whose nodes were leaving.
    """
    taken = {node.name for node in nodes}
    added: list[PlannedNode] = []
    for group in snapshot.groups:
        names = [NodeName(group.name, index) for index in range(len(taken) + group.count)]
        if not nodes:
            stored = sorted(
                (name for name in snapshot.volumes if name.group == group.name),
                key=lambda name: (str(name) in snapshot.draining, name.index),
            )
            names = [*stored, *(name for name in names if name not in stored)]
        free = [name for name in names if str(name) not in taken]
        missing = max(0, group.count - len(in_group(nodes, group.name)))
        added += [_new_node(snapshot, group, name) for name in free[:missing]]
    return (*nodes, *added)


def _new_node(snapshot: Snapshot, group: WantedGroup, name: NodeName) -> PlannedNode:
    # A node of this name may have gone in this very pass.
    before = (node.attempt for node in snapshot.nodes if node.name == str(name))
    return PlannedNode(
        name=str(name),
        group=group.name,
        role=group.role,
        index=name.index,
        run=snapshot.run,
        attempt=max(snapshot.used_attempts.get(str(name), 0), *before, 0) + 1,
        attempt_generation=snapshot.generation,
        critical=group.critical,
        drains=group.drains,
    )


# -- what the site has to change ----------------------------------------------------------------------------------


def due_nodes(snapshot: Snapshot, nodes: Nodes) -> Nodes:
    """The nodes that should exist now. A node that keeps failing is left out until its next attempt is due."""
    return tuple(
        node
        for node in nodes
        if not node.ending and (node.observation or node.retry_at is None or node.retry_at <= snapshot.now)
    )


def orphans(snapshot: Snapshot, nodes: Nodes) -> Orphans:
    groups, names = (group.name for group in snapshot.groups), (node.name for node in nodes)
    return Orphans(snapshot.orphan_attempts, orphan_volumes(snapshot.volumes, groups, names))


def is_complete(groups: Iterable[WantedGroup], nodes: Nodes) -> bool:
    """Whether every group has exactly its nodes, and all of them are ready."""
    counts = {group.name: sum(node.group == group.name for node in nodes) for group in groups}
    return all(node.ready for node in nodes) and all(counts[group.name] == group.count for group in groups)


# -- messages to people -------------------------------------------------------------------------------------------


def why_not_ready(nodes: Nodes) -> Problem:
    """The problem of the first node that has one, critical nodes first."""
    for node in sorted(nodes, key=lambda node: not node.critical):
        if node.leaving:
            continue
        message = node.observation.message if node.observation else ""
        if node.failures and not node.ready:
            return Problem("NODE_LOST", f"{node.name} ended: {message or 'it is being replaced'}")
        if node.observation and node.observation.reason:
            return Problem(node.observation.reason, f"{node.name}: {message}")
        if node.state is NodeState.UNREADY:
            return Problem("NODE_UNREADY", f"{node.name}: {message or 'does not answer'}")
    return NO_PROBLEM


def why_late(nodes: Nodes, last_problem: Problem) -> Problem:
    """last_problem: the explanation while no node of the cluster exists yet."""
    late = ", ".join(node.name for node in nodes if not node.ready) or "the cluster"
    why = why_not_ready(nodes).message or ": ".join(filter(None, (last_problem.reason, last_problem.message)))
    return Problem("DEADLINE_EXCEEDED", f"not ready in time: {late}" + (f" ({why})" if why else ""))
