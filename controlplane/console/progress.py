"""The progress of an operation: its steps, each with its state and time."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from controlplane.clusters.models import Operation, Step
from controlplane.clusters.models.operation import LIVE, State

TITLES: Final = {
    "admitted": "Admitted",
    "isolated": "Isolation ensured",
    "credentials": "Credentials handed over",
    "applied": "Nodes requested",
    "scheduled": "Nodes placed",
    "image": "Software installed",
    "started": "Processes started",
    "ready": "Ready to work",
    "drained": "Work moved away",
    "ended": "Nodes ended",
}


@dataclass(frozen=True, slots=True)
class ShownStep:
    """state: done, running, waiting, skipped or failed. seconds: taken so far, None before the step began."""

    name: str
    title: str
    state: str
    seconds: float | None
    message: str


@dataclass(frozen=True, slots=True)
class OperationProgress:
    operation: Operation
    steps: tuple[ShownStep, ...]
    is_live: bool
    seconds: float

    @property
    def current(self) -> ShownStep | None:
        return next((step for step in self.steps if step.state == "running"), None)


def progress_of(operation: Operation | None, now: datetime) -> OperationProgress | None:
    if operation is None:
        return None
    return OperationProgress(
        operation=operation,
        steps=tuple(_shown(operation, step, now) for step in operation.steps.all()),
        is_live=operation.state in LIVE,
        seconds=((operation.ended_at or now) - operation.created_at).total_seconds(),
    )


def _shown(operation: Operation, step: Step, now: datetime) -> ShownStep:
    until = step.ended_at or operation.ended_at or now
    return ShownStep(
        name=step.name,
        title=TITLES.get(step.name, step.name.capitalize()),
        state=_state(operation, step),
        seconds=(until - step.started_at).total_seconds() if step.started_at else None,
        message=step.message,
    )


def _state(operation: Operation, step: Step) -> str:
    if step.ended_at:
        return "done"
    if operation.state in LIVE:
        return "running" if step.started_at else "waiting"
    return "failed" if step.started_at and operation.state == State.FAILED else "skipped"
