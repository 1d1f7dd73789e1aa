"""What shrinking did to each node: read, or said to be unknown; never guessed."""

from dataclasses import asdict
from typing import Any

from controlplane.provisioners.base import DrainOutcome, DrainReport
from controlplane.reconciler.cluster.snapshot import ALIVE, Place, View


def of(place: Place, view: View) -> dict[str, Any]:
    """{"node", "outcome", "seconds", "tasks_start", …}; null = unknown."""
    report = place.observation.drain if place.observation else None
    if report is None:
        began = (
            place.drain_until.timestamp() - view.drain_seconds if place.drain_until else view.now.timestamp()
        )
        outcome = DrainOutcome.DEADLINE if place.state in ALIVE else DrainOutcome.KILLED
        report = DrainReport(outcome, round(max(0.0, view.now.timestamp() - began), 1))
    return {"node": place.name, **asdict(report), "outcome": str(report.outcome)}
