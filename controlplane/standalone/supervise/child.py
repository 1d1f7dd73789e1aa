"""One child process of the supervisor: its start, its output, its end and its next start."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from controlplane.standalone.installation.datadir import DataDir
from controlplane.standalone.supervise import pids
from controlplane.standalone.supervise.command import ProcessSpec
from controlplane.standalone.supervise.logs import LogFile

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 30.0
HEALTHY_SECONDS = 30.0
"""A child that lived for so long had a good start: its next failure counts as the first one."""
READ_SIZE = 65536


@dataclass(frozen=True, slots=True)
class ChildSpec:
    name: str
    command: ProcessSpec
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    restarts: bool = True
    failure: str = ""
    """The message when a service that runs once fails; empty when its caller reports the failure."""
    before_start: Callable[[], None] | None = None
    probe: Callable[[], bool] | None = None
    """Returns whether the service works now, in a few seconds at most. Without a probe, being alive is enough."""
    patience: float = 60.0
    """Seconds for which the probe may fail. Every kill for that reason doubles them, until a probe succeeds."""


class Child:
    def __init__(self, service: ChildSpec, data: DataDir) -> None:
        self.service = service
        self.log = LogFile(data.logs / f"{service.name}.log")
        self.output: int | None = None
        self.output_ended = False
        self.exit_code: int | None = None
        """The exit code of the last process; negative for a signal."""
        self.next_start: float | None = None
        self.failures = 0
        self.silent_since: float | None = None
        """When the first of the failing probes ran (time.monotonic); None when the last one succeeded."""
        self.kills = 0
        """How often in a row it was killed because its probe failed."""
        self._data = data
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0

    @property
    def alive(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def start(self) -> None:
        if self.service.before_start:
            self.service.before_start()
        self.next_start = None
        self.silent_since = None
        self.output_ended = False
        self.output, theirs = os.pipe()
        os.set_blocking(self.output, False)
        try:
            self._process = self.service.command.start(output=theirs)
        except BaseException:
            os.close(self.output)
            self.output = None
            raise
        finally:
            os.close(theirs)
        self._started = time.monotonic()

    def read_output(self) -> None:
        """Move its output from the pipe to the log, without waiting."""
        with contextlib.suppress(BlockingIOError):
            while self.output is not None and not self.output_ended:
                output = os.read(self.output, READ_SIZE)
                self.log.write(output)
                self.output_ended = not output

    def reap(self) -> bool:
        """Collect the exit code and kill the rest of the session. Returns False while the process lives."""
        if self._process is None:
            return False
        if os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return False
        # The process is a zombie until `wait` below, so its id cannot name another process group yet.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self.exit_code = self._process.wait()
        self.read_output()
        if self.output is not None:
            os.close(self.output)
        self.output = self._process = None
        self.log.close()
        pids.forget(self._data, self.service.name)
        return True

    def plan_restart(self) -> float:
        """Set the next start, later after every failure in a row. Returns the pause in seconds."""
        lived = time.monotonic() - self._started
        self.failures = 1 if lived > HEALTHY_SECONDS else self.failures + 1
        pause: float = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (self.failures - 1))
        self.next_start = time.monotonic() + pause
        return pause

    def probe(self) -> float:
        """Run the probe once. Returns for how many seconds it has failed: 0 when it succeeds."""
        if self.service.probe is None or self.service.probe():
            self.silent_since = None
            self.kills = 0
            return 0.0
        now = time.monotonic()
        self.silent_since = self.silent_since or now
        return now - self.silent_since

    @property
    def patience(self) -> float:
        return self.service.patience * float(2**self.kills)

    def kill(self) -> None:
        """Kill a process that does not answer. It is restarted as after any other end."""
        self.kills += 1
        self.send(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        # Popen.send_signal would poll the process first, and so collect the exit code that `reap` waits for.
        if self._process:
            os.kill(self._process.pid, number)
