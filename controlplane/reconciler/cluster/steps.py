"""What an operation shows of a snapshot and a decision: how far its steps are, and what its drains did. Pure."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from controlplane.clusters.phases import Phase
from controlplane.provisioners.base import STAGES, DrainOutcome, DrainReport
from controlplane.reconciler.cluster.planned_nodes import groups_with_surplus, is_outdated
from controlplane.reconciler.cluster.snapshot import ALIVE, Decision, PlannedNode, Snapshot


@dataclass(frozen=True, slots=True)
class Progress:
    """done_at: None = not yet. message: what the step waits for."""

    done_at: datetime | None
    message: str = ""


def progress(step: str, snapshot: Snapshot, decision: Decision) -> Progress:
    """step: a name from clusters.operations.STEPS."""
    if step in STAGES:
        return _stage(step, snapshot, decision) if decision.isolated else Progress(None)
    match step:
        case "isolated":
            done = decision.isolated and decision.run > 0
        case "drained":
            draining = any(node.leaving and not node.ending for node in decision.nodes)
            done = not _has_surplus(snapshot, decision) and not draining
        case "ended":
            done = _has_ended(snapshot, decision)
        case _:
            done = True
    return Progress(snapshot.now if done else None)


def _has_ended(snapshot: Snapshot, decision: Decision) -> bool:
    """Whether all nodes have ended that had to: every node for a stop, else surplus and outdated ones."""
    if decision.phase in {Phase.STOPPED, Phase.DELETED}:
        return True
    if decision.phase in {Phase.STOPPING, Phase.DELETING}:
        return False
    return not _has_surplus(snapshot, decision) and not any(
        node.leaving or node.ending or is_outdated(node, snapshot.restart_generation)
        for node in decision.nodes
    )


def _has_surplus(snapshot: Snapshot, decision: Decision) -> bool:
    """Whether nodes that have to leave are not marked as leaving yet."""
    return bool(groups_with_surplus(snapshot.groups, decision.nodes))


def _stage(stage: str, snapshot: Snapshot, decision: Decision) -> Progress:
    """A stage is done when the last of the nodes that stay has passed it."""
    nodes = [node for node in decision.nodes if not node.leaving]
    if len(nodes) < sum(group.count for group in snapshot.groups):
        return Progress(None)
    passed = [
        node.observation.stages[stage]
        for node in nodes
        if node.observation and stage in node.observation.stages
    ]
    if len(passed) == len(nodes):
        return Progress(max(passed, default=snapshot.now))
    waiting = [node for node in nodes if node.observation is None or stage not in node.observation.stages]
    words = [
        f"{node.name}: {node.observation.message}"
        if node.observation and node.observation.message
        else node.name
        for node in waiting[:3]
    ]
    return Progress(None, "; ".join(words))


def drain_report(node: PlannedNode, snapshot: Snapshot) -> dict[str, Any]:
    """{"node", "outcome", "seconds", "tasks_start", …}. null = was not read; numbers are never guessed."""
    report = node.observation.drain if node.observation else None
    if report is None:
        now = snapshot.now.timestamp()
        began = node.drain_until.timestamp() - snapshot.drain_seconds if node.drain_until else now
        outcome = DrainOutcome.DEADLINE if node.state in ALIVE else DrainOutcome.KILLED
        report = DrainReport(outcome, round(max(0.0, now - began), 1))
    return {"node": node.name, **asdict(report), "outcome": str(report.outcome)}
