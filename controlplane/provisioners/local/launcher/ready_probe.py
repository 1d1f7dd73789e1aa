"""When to run a node's ready hook, and what its result means.

While a node starts, the hook runs soon after each port that opens, and ever less often in between. The hook of a ready
node runs every ten seconds; three failures in a row make the node unready.
"""

import socket
import time
from collections.abc import Callable, Iterable

from controlplane.provisioners.hook_output import last_json_object
from controlplane.provisioners.local.launcher.children import HookRun

PORT_CHECK_SECONDS = 0.05
# On loopback a connection is made or refused at once. When the port's queue is full, the port is tried again later.
CONNECT_SECONDS = 0.05
# A node that opens none of its ports gets its first hook run after this long.
NO_PORT_SECONDS = 10.0
# Pauses between hook runs while the node starts: the first, the longest, and the factor from one to the next.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, PAUSE_FACTOR = 0.2, 1.0, 1.3
# The pause is also this many times the duration of the last run, so that hooks do not slow down a busy machine.
REST_FACTOR = 2.0
LONGEST_REST_SECONDS = 2.0
READY_PAUSE_SECONDS = 10.0
FAILED_PAUSE_SECONDS = 2.0
FAILURES_UNTIL_UNREADY = 3
MAX_MESSAGE_LENGTH = 500


class ReadyProbe:
    """`advance` is called at `due`, a time of the monotonic clock, and when a hook ended.

    start: runs the hook. address, ports: where the node is expected to listen.
    """

    def __init__(self, start: Callable[[], HookRun], address: str, ports: Iterable[int]) -> None:
        self.start, self.address = start, address
        self.closed_ports = set(ports)
        self.run: HookRun | None = None
        self.ready = False
        self.failures = 0
        self.pause = FIRST_PAUSE_SECONDS
        now = time.monotonic()
        self.hook_due = now + NO_PORT_SECONDS if self.closed_ports else now
        self.ports_due = now if self.closed_ports else float("inf")

    @property
    def due(self) -> float:
        return self.run.deadline if self.run else min(self.hook_due, self.ports_due)

    def advance(self, now: float) -> tuple[bool, str] | None:
        """Returns (ready, message: why not) when a hook run has given a result, else None."""
        if run := self.run:
            if not run.over and now < run.deadline:
                return None
            self.run = None
            run.cut_off()
            if run.exit_code != 0:
                return self._failed(now, run)
            self.ready, self.failures = True, 0
            self.hook_due, self.ports_due = now + READY_PAUSE_SECONDS, float("inf")
            return True, ""
        if now >= self.ports_due:
            self._check_ports(now)
        if now >= self.hook_due:
            self.run = self.start()
        return None

    def stop(self) -> None:
        if self.run:
            self.run.cut_off()
            self.run = None

    def _check_ports(self, now: float) -> None:
        """Have the hook run at once if a port has opened. This costs far less than a run of the hook."""
        opened = {port for port in self.closed_ports if _accepts(self.address, port)}
        self.closed_ports -= opened
        if opened:
            self.hook_due = now
        self.ports_due = now + PORT_CHECK_SECONDS if self.closed_ports and not self.ready else float("inf")

    def _failed(self, now: float, run: HookRun) -> tuple[bool, str] | None:
        self.failures += 1
        if not self.ready:
            self.pause = min(LONGEST_PAUSE_SECONDS, self.pause * PAUSE_FACTOR)
            self.hook_due = now + max(self.pause, min(REST_FACTOR * run.seconds, LONGEST_REST_SECONDS))
            return False, failure_message(run)
        self.hook_due = now + FAILED_PAUSE_SECONDS
        return (False, failure_message(run)) if self.failures >= FAILURES_UNTIL_UNREADY else None


def failure_message(run: HookRun) -> str:
    """Why the hook failed, in one line: its own message, else its last line, else its exit code."""
    message = last_json_object(run.output).get("message")
    if isinstance(message, str) and message:
        return message[:MAX_MESSAGE_LENGTH]
    lines = run.output.decode(errors="replace").strip().splitlines()
    if lines:
        return lines[-1][:MAX_MESSAGE_LENGTH]
    return "did not answer in time" if run.exit_code is None else f"its check ended with {run.exit_code}"


def _accepts(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=CONNECT_SECONDS).close()
    except OSError:
        return False
    return True
