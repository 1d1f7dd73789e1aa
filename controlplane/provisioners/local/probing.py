"""When to ask a node's ready hook, and what its answers mean. Standard library only: launchers use it.

While a node starts, the hook is asked soon after each port that opens, and ever more slowly in between; a ready node
is asked every ten seconds, and called unready after three refusals in a row.
"""

import time
from collections.abc import Callable, Iterable

from controlplane.provisioners.answers import facts
from controlplane.provisioners.local import listening
from controlplane.provisioners.local.children import HookRun

LISTEN_SECONDS = 0.05
# A node that opens no port at its own address is asked all the same after this long.
SILENT_SECONDS = 10.0
FIRST_SECONDS, SLOWEST_SECONDS, SLOWER = 0.2, 1.0, 1.3
# Between two questions passes this many times what the last one took: a busy machine is not made busier.
REST = 2.0
LONGEST_REST_SECONDS = 2.0
STEADY_SECONDS = 10.0
DOUBT_SECONDS = 2.0
FAILURES = 3


class Probe:
    """`advance` gives (ready, why not) when that is news, else None; it is called at `due` or when a hook ended."""

    def __init__(self, start: Callable[[], HookRun], address: str, ports: Iterable[int]) -> None:
        self.start, self.address = start, address
        self.silent = set(ports)
        self.run: HookRun | None = None
        self.ready = False
        self.failures = 0
        self.pause = FIRST_SECONDS
        now = time.monotonic()
        self.hook_due = now + SILENT_SECONDS if self.silent else now
        self.listen_due = now if self.silent else float("inf")

    @property
    def due(self) -> float:
        return self.run.deadline if self.run else min(self.hook_due, self.listen_due)

    def advance(self, now: float) -> tuple[bool, str] | None:
        if run := self.run:
            if not run.over and now < run.deadline:
                return None
            self.run = None
            return self._judge(run, now)
        if now >= self.listen_due:
            self._listen(now)
        if now >= self.hook_due:
            self.run = self.start()
        return None

    def stop(self) -> None:
        if self.run:
            self.run.cut_off()
            self.run = None

    def _listen(self, now: float) -> None:
        opened = listening.among(self.address, self.silent)
        self.silent -= opened
        if opened:
            self.hook_due = now
        self.listen_due = now + LISTEN_SECONDS if self.silent and not self.ready else float("inf")

    def _judge(self, run: HookRun, now: float) -> tuple[bool, str] | None:
        run.cut_off()
        if run.code == 0:
            return self._passed(now)
        return self._failed(now, run)

    def _passed(self, now: float) -> tuple[bool, str]:
        self.failures, self.hook_due, self.listen_due = 0, now + STEADY_SECONDS, float("inf")
        self.ready = True
        return True, ""

    def _failed(self, now: float, run: HookRun) -> tuple[bool, str] | None:
        self.failures += 1
        if not self.ready:
            self.pause = min(SLOWEST_SECONDS, self.pause * SLOWER)
            self.hook_due = now + max(self.pause, min(REST * run.seconds, LONGEST_REST_SECONDS))
            return False, why_not(run)
        self.hook_due = now + DOUBT_SECONDS
        return (False, why_not(run)) if self.failures >= FAILURES else None


def why_not(run: HookRun) -> str:
    """What a hook that failed said about it, in one line."""
    said = facts(run.answer).get("message")
    if isinstance(said, str) and said:
        return said[:500]
    lines = run.answer.decode(errors="replace").strip().splitlines()
    if lines:
        return lines[-1][:500]
    return "did not answer in time" if run.code is None else f"its check ended with {run.code}"
