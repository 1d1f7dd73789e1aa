"""Starts the children, restarts those that end or do not answer, and stops all in order."""

import contextlib
import os
import selectors
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from controlplane.standalone.installation.datadir import DataDir
from controlplane.standalone.supervise import pids
from controlplane.standalone.supervise.child import Child, ChildSpec

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# After so many failures in a row the supervisor prints the end of the log.
FAILURES_TO_EXPLAIN = 3
KILL_SECONDS = 10.0
PROBE_SECONDS = 5.0


class StoppedError(Exception):
    """A stop signal came while the supervisor was waiting for something else."""


class Supervisor:
    def __init__(
        self, data: DataDir, *, say: Callable[[str], None], probe_seconds: float = PROBE_SECONDS
    ) -> None:
        self._data = data
        self._probe_seconds = probe_seconds
        self._say = say
        self._children: dict[str, Child] = {}
        self._selector = selectors.DefaultSelector()
        self._stop_requests = 0
        self._stopping = False

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Handle the signals of this process. Each one wakes the loop through a pipe."""
        wake, wakeup = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(wakeup, False)
        self._selector.register(wake, selectors.EVENT_READ, None)
        former_wakeup = signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        wanted = [signal.SIGCHLD, *STOP_SIGNALS]
        if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
            # nohup started this process.
            wanted.remove(signal.SIGHUP)
        former = {number: signal.signal(number, self._note) for number in wanted}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(former_wakeup)
            self._selector.close()
            os.close(wake)
            os.close(wakeup)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number in STOP_SIGNALS:
            self._stop_requests += 1

    def start(self, service: ChildSpec) -> Child:
        child = self._children[service.name] = Child(service, self._data)
        self._start(child)
        return child

    def run(self) -> None:
        """Run until a stop signal comes. Children that do not answer for too long are restarted."""
        next_probe = time.monotonic()
        while not self._stop_requests:
            self._turn(max(0.0, next_probe - time.monotonic()))
            if time.monotonic() >= next_probe:
                self._probe()
                next_probe = time.monotonic() + self._probe_seconds

    def _probe(self) -> None:
        for child in self._children.values():
            if not child.alive or self._stop_requests:
                continue
            silent = child.probe()
            # The child may have ended meanwhile; the next turn handles that.
            if silent > child.patience:
                self._say(f"{child.service.name} has not answered for {silent:.0f} s and is killed")
                child.kill()

    def wait(self, until: Callable[[], bool], *, seconds: float, every: float | None = None) -> bool:
        """Run until the condition holds. Returns False when the time is over first.

        The condition is checked after every event, and every `every` seconds. Raises StoppedError on a stop signal.
        """
        deadline = time.monotonic() + seconds
        while not until():
            if self._stop_requests:
                raise StoppedError
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._turn(min(left, every or left))
        return True

    def stop(self, names: Sequence[str]) -> None:
        """Stop these children at the same time, each by its own signal. A second stop signal kills them at once."""
        self._stopping = True
        children = [self._children[name] for name in names if name in self._children]
        for child in children:
            child.next_start = None
            child.send(child.service.stop_signal)
        patience = max((child.service.stop_seconds for child in children), default=0)
        if not self._ended(children, patience):
            for child in children:
                if child.alive:
                    self._say(f"{child.service.name} does not stop and is killed")
                    child.send(signal.SIGKILL)
            self._ended(children, KILL_SECONDS)

    def _ended(self, children: Sequence[Child], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        requests = self._stop_requests
        while any(child.alive for child in children):
            left = deadline - time.monotonic()
            if left <= 0 or self._stop_requests > max(requests, 1):
                return False
            self._turn(left)
        return True

    def _turn(self, seconds: float | None) -> None:
        """Wait for output, the end of a child, a signal or a planned start, and handle it."""
        planned = [child.next_start for child in self._children.values() if child.next_start is not None]
        if planned:
            until_start = max(0.0, min(planned) - time.monotonic())
            seconds = until_start if seconds is None else min(seconds, until_start)
        for key, _ in self._selector.select(seconds):
            if isinstance(key.data, Child):
                child = key.data
                child.read_output()
                if child.output is not None and child.output_ended:
                    self._selector.unregister(child.output)
            else:
                os.read(key.fd, 4096)
        self._reap()
        self._start_due()

    def _reap(self) -> None:
        for child in self._children.values():
            watched = child.output
            if not child.reap():
                continue
            if watched is not None and watched in self._selector.get_map():
                self._selector.unregister(watched)
            if self._stopping:
                continue
            if child.service.restarts:
                self._explain(child, child.plan_restart())
            elif child.exit_code and child.service.failure:
                self._say(f"{child.service.failure} ({ending(child.exit_code)}): see {child.log.path}")
        if os.getpid() == 1:
            self._reap_adopted()

    def _reap_adopted(self) -> None:
        """Collect orphaned processes: as process 1 of a container we inherit them, and they are zombies until then."""
        ours = {child.pid for child in self._children.values()}
        with contextlib.suppress(ChildProcessError):
            while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if found.si_pid in ours:
                    break
                os.waitpid(found.si_pid, 0)

    def _explain(self, child: Child, pause: float) -> None:
        again = "starting it again" if pause < 1 else f"starting it again in {pause:.0f} s"
        self._say(f"{child.service.name} ended ({ending(child.exit_code)}); {again}")
        if child.failures == FAILURES_TO_EXPLAIN:
            self._say(f"the last lines of {child.log.path}:\n{child.log.last_lines(5)}")

    def _start_due(self) -> None:
        now = time.monotonic()
        for child in self._children.values():
            if child.next_start is None or child.next_start > now or self._stopping:
                continue
            try:
                self._start(child)
            except OSError as error:
                # Memory or disk may be exhausted. A later attempt may succeed.
                self._say(f"cannot start {child.service.name} ({error.strerror}); trying again")
                child.plan_restart()

    def _start(self, child: Child) -> None:
        child.start()
        if child.output is not None:
            self._selector.register(child.output, selectors.EVENT_READ, child)
        try:
            pids.record(self._data, child.service.name, child.pid)
        except OSError as error:
            # The record lets a later `up` find this child. The child ends with us anyway.
            self._say(f"cannot write to {self._data.run}: {error.strerror}")


def ending(code: int | None) -> str:
    """Returns how a process ended: "exit code 1" or "killed by SIGKILL"."""
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
