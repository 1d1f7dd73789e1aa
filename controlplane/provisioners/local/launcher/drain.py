"""The drain of one node: its hook, its deadline, its report."""

import time
from collections.abc import Callable
from typing import Any

from controlplane.provisioners.hook_output import count_or_none, last_json_object
from controlplane.provisioners.local.launcher.children import HookRun
from controlplane.provisioners.local.launcher.ready_probe import failure_message

# What the hook may count in its report, see `DrainReport`.
COUNTS = ("tasks_start", "tasks_end", "executors_start", "executors_end", "blocks_moved")
# A hook that failed before the deadline runs again after this long.
RETRY_SECONDS = 1.0
# The hook knows its deadline and should end by itself; it is killed this much later.
SLACK_SECONDS = 3.0


class Drain:
    """`advance` is called at `due`, a time of the monotonic clock, and when the hook ended.

    start: runs the hook, which gets the seconds that are left; None when the role has no drain hook.
    seconds: until the deadline. report: the fields of a `DrainReport`, once the drain is over.
    message: why the last run of the hook failed.
    """

    def __init__(self, start: Callable[[int], HookRun] | None, seconds: int) -> None:
        self.start = start
        self.started_at = time.monotonic()
        self.deadline = self.started_at + seconds
        self.run: HookRun | None = None
        self.run_due = self.started_at
        self.message = ""
        self.report: dict[str, Any] | None = None

    @property
    def due(self) -> float:
        if self.report:
            return float("inf")
        return self.deadline + SLACK_SECONDS if self.run else self.run_due

    def advance(self, now: float) -> dict[str, Any] | None:
        """Returns the report once, in the call that ends the drain."""
        if self.report is None:
            self.report = self._advance(now)
            return self.report
        return None

    def abort(self) -> dict[str, Any]:
        """End the drain because the node ends. The report has what the hook printed until now."""
        output = b""
        if self.run:
            self.run.cut_off()
            output = self.run.output
        self.report = self.report or self._report("killed", output)
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
        if run.exit_code == 0:
            return self._report("drained", run.output)
        self.message = failure_message(run)
        if now + RETRY_SECONDS >= self.deadline:
            return self._report("deadline", run.output)
        self.run_due = now + RETRY_SECONDS
        return None

    def _report(self, outcome: str, output: bytes) -> dict[str, Any]:
        printed = last_json_object(output)
        counts = {name: count_or_none(printed.get(name)) for name in COUNTS}
        return {"outcome": outcome, "seconds": round(time.monotonic() - self.started_at, 3), **counts}
