"""The drain of one node: its hook, its deadline, its report. Standard library only: launchers use it."""

import time
from collections.abc import Callable
from typing import Any

from controlplane.provisioners.answers import count, facts
from controlplane.provisioners.local.children import HookRun
from controlplane.provisioners.local.probing import why_not

COUNTS = ("tasks_start", "tasks_end", "executors_start", "executors_end", "blocks_moved")
# A hook that failed early is run again, as long as there is time.
RETRY_SECONDS = 1.0
# The hook keeps to its deadline by itself; this is for the one that does not.
SLACK_SECONDS = 3.0


class Drain:
    """`advance` gives the report once the drain is over; it is called at `due` or when the hook ended.

    start: runs the hook with so many seconds left; None when the role has no such hook.
    """

    def __init__(self, start: Callable[[int], HookRun] | None, seconds: int) -> None:
        self.start = start
        self.began = time.monotonic()
        self.deadline = self.began + seconds
        self.run: HookRun | None = None
        self.run_due = self.began
        self.why = ""
        self.report: dict[str, Any] | None = None

    @property
    def due(self) -> float:
        if self.report:
            return float("inf")
        return self.deadline + SLACK_SECONDS if self.run else self.run_due

    def advance(self, now: float) -> dict[str, Any] | None:
        if self.report is None:
            self.report = self._advance(now)
            return self.report
        return None

    def killed(self) -> dict[str, Any]:
        """The node went before its drain was over. What the hook had said until then still counts."""
        answer = b""
        if self.run:
            self.run.cut_off()
            answer = self.run.answer
        self.report = self.report or self._report("killed", answer)
        return self.report

    def _advance(self, now: float) -> dict[str, Any] | None:
        if self.start is None:
            return self._report("drained", b"")
        if self.run is None:
            if now >= self.run_due:
                self.run = self.start(max(1, round(self.deadline - now)))
            return None
        if not self.run.over and now < self.deadline + SLACK_SECONDS:
            return None
        run, self.run = self.run, None
        run.cut_off()
        return self._judge(run, now)

    def _judge(self, run: HookRun, now: float) -> dict[str, Any] | None:
        if run.code == 0:
            return self._report("drained", run.answer)
        self.why = why_not(run)
        if now + RETRY_SECONDS >= self.deadline:
            return self._report("deadline", run.answer)
        self.run_due = now + RETRY_SECONDS
        return None

    def _report(self, outcome: str, answer: bytes) -> dict[str, Any]:
        said = facts(answer)
        counts = {name: count(said.get(name)) for name in COUNTS}
        return {"outcome": outcome, "seconds": round(time.monotonic() - self.began, 3), **counts}
