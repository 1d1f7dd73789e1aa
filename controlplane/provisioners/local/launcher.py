"""The parent of one node: starts its command, watches it, ends it, and writes down what it sees.

Standard library only, one thread. It holds the lock of the node's folder for as long as anything of the node may be
alive, so who finds the lock free knows that the node has ended or that its launcher was killed.

A node's life here is narrower than its states: it waits for its runtime, runs, is being ended, is over.
"""

import os
import select
import signal
import time
import traceback
from collections.abc import Mapping
from types import FrameType
from typing import Any

from controlplane.provisioners.local import children, files, log, processes
from controlplane.provisioners.local.children import HookRun
from controlplane.provisioners.local.draining import Drain
from controlplane.provisioners.local.probing import Probe
from controlplane.provisioners.local.status import Status
from controlplane.provisioners.local.waiting import RuntimeWait

HOOK_SECONDS = 5.0
# What the command leaves behind when it ends by itself gets this long.
REMAINS_SECONDS = 2.0
# How long a drain hook may still speak after its node's command has ended.
LAST_WORDS_SECONDS = 3.0
FOLDER_SECONDS = 3.0
NEVER = float("inf")

STOP, KILL, DRAIN = signal.SIGTERM, signal.SIGUSR2, signal.SIGUSR1
# The node's files have changed; the node's record was damaged and is to be written again.
RELOAD, REWRITE = signal.SIGHUP, signal.SIGWINCH


class Launcher:
    def __init__(self, folder: str, events: str, spec: Mapping[str, Any], status: Status) -> None:
        self.folder, self.events, self.spec, self.status = folder, events, spec, status
        self.asked: set[int] = set()
        self.waker = self._listen_to_signals()
        self.wait: RuntimeWait | None = RuntimeWait(spec["runtime"], spec["applied_at"])
        self.log: log.LogWriter | None = None
        self.probe: Probe | None = None
        self.drain: Drain | None = None
        self.main = 0
        self.exit: int | None = None
        self.exit_at = NEVER
        self.childless = True
        self.folder_due = 0.0
        self.ending = ""
        self.kill_at = self.press_at = NEVER
        self.swept = self.over = False

    def run(self) -> None:
        """Until nothing of the node is left; then the record lacks only its last word, see `last_word`."""
        while not self.over:
            self._reap()
            self._obey()
            now = time.monotonic()
            self._mind_the_folder(now)
            if self.ending:
                self._press(now)
            elif self.wait and not self.drain:
                self._await_runtime(self.wait, now)
            else:
                self._watch(now)
            self.status.flush(self.events)
            if not self.over:
                self._sleep()

    def last_word(self) -> dict[str, Any]:
        """The fields of the record that say how it ended."""
        code, how = _exit_code(self.exit)
        reason, message = self.ending, how
        # Nothing of the log: everybody in the tenant reads this, and the log is not for everybody.
        if self.ending == "START_FAILED":
            message = self.status.record.get("message", "")
        return {"state": "ended", "reason": reason, "message": message, "exit_code": code}

    def abandon(self, seconds: float = 5.0) -> None:
        """Kill all of it at once: this launcher cannot go on."""
        deadline = time.monotonic() + seconds
        while not self.childless and time.monotonic() < deadline:
            self._signal_all(signal.SIGKILL)
            time.sleep(0.02)
            self._reap()
        processes.kill_node(self.spec["id"])

    # -- what comes in ---------------------------------------------------------------------------------------------

    def _listen_to_signals(self) -> int:
        waker, wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        for signum in (STOP, KILL, DRAIN, RELOAD, REWRITE, signal.SIGCHLD):
            signal.signal(signum, self._signalled)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return waker

    def _signalled(self, signum: int, _frame: FrameType | None) -> None:
        self.asked.add(signum)

    def _obey(self) -> None:
        asked, self.asked = self.asked, set()
        if KILL in asked:
            self._end("STOPPED", 0.0)
        elif STOP in asked:
            self._end("STOPPED", float(self.spec["stop_seconds"]))
        if REWRITE in asked:
            self.status.unsaved = True
        if DRAIN in asked:
            self._begin_drain()
        if RELOAD in asked and self.main and self.exit is None:
            os.kill(self.main, signal.SIGHUP)

    def _mind_the_folder(self, now: float) -> None:
        """A node whose folder was deleted is known to nobody any more, and would run for ever."""
        if now < self.folder_due:
            return
        self.folder_due = now + FOLDER_SECONDS
        if not os.path.exists(os.path.join(self.folder, "lock")):
            self._end("FOLDER_LOST", float(self.spec["stop_seconds"]))

    def _reap(self) -> None:
        while True:
            try:
                pid, wait_status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self.childless = True
                return
            self.childless = False
            if pid == 0:
                return
            self._reaped(pid, wait_status)

    def _reaped(self, pid: int, wait_status: int) -> None:
        if pid == self.main:
            self.exit, self.exit_at = wait_status, time.monotonic()
        elif self.wait:
            self.wait.reaped(pid, wait_status)
        for hook in self._hooks():
            if hook.pid == pid:
                hook.reaped(wait_status)

    def _hooks(self) -> list[HookRun]:
        runs = [watcher.run for watcher in (self.probe, self.drain) if watcher]
        return [run for run in runs if run and not run.over]

    def _sleep(self) -> None:
        poll = select.poll()
        poll.register(self.waker, select.POLLIN)
        if self.log and self.log.open:
            poll.register(self.log.source, select.POLLIN)
        for hook in self._hooks():
            # Its end is told by SIGCHLD; a closed pipe would wake the poll for ever.
            hook.read()
        poll.poll(max(0.0, min(self._due(), self.folder_due) - time.monotonic()) * 1000)
        if self.log:
            self.log.pump()
        try:
            os.read(self.waker, 4096)
        except BlockingIOError:
            return

    def _due(self) -> float:
        now = time.monotonic()
        retry = now + 0.25 if self.status.unsaved or self.status.untold else NEVER
        if self.ending:
            return min(retry, self.press_at, self.kill_at if self.kill_at > now else NEVER)
        if self.wait and not self.drain:
            return min(retry, self.wait.due)
        last_words = self.exit_at + LAST_WORDS_SECONDS if self.exit is not None else NEVER
        watchers = [watcher.due for watcher in (self.drain or self.probe,) if watcher]
        return min(retry, last_words, *watchers, NEVER)

    # -- a node's life ---------------------------------------------------------------------------------------------

    def _await_runtime(self, wait: RuntimeWait, now: float) -> None:
        if wait.ready():
            self.wait = None
            self.status.change(self.events, stage="image", reason="", message="")
            self._start()
        elif told := wait.advance(now):
            self.status.change(self.events, reason=told[0], message=told[1])

    def _start(self) -> None:
        self.log = log.LogWriter(self.folder)
        children.adopt_orphans()
        try:
            self.main = children.spawn(
                self.spec["command"], self.spec["env"], self.spec["cwd"], self.log.sink
            )
        except OSError as error:
            self.status.set(message=f"cannot start {self.spec['command'][0]}: {error.strerror}")
            self._end("START_FAILED", 0.0)
            return
        finally:
            self.log.close_sink()
        if self.spec["hooks"]["ready"]:
            self.status.change(self.events, stage="started", state="starting")
            self.probe = Probe(self._start_ready, self.spec["address"], self.spec["ports"])
        else:
            self.status.set(stage="started")
            self.status.change(self.events, stage="ready", state="ready")

    def _start_ready(self) -> HookRun:
        return HookRun([self.spec["hooks"]["ready"]], self.spec["env"], self.spec["cwd"], HOOK_SECONDS)

    def _start_drain(self, seconds: int) -> HookRun:
        env = {**self.spec["env"], "SLIPWAY_DRAIN_SECONDS": str(seconds)}
        return HookRun([self.spec["hooks"]["drain"]], env, self.spec["cwd"], seconds + HOOK_SECONDS)

    def _watch(self, now: float) -> None:
        if self.drain:
            if report := self.drain.advance(now):
                why = f"not drained in time: {self.drain.why}" if report["outcome"] == "deadline" else ""
                self.status.change(self.events, state="drained", drain=report, reason="", message=why)
        elif self.probe and self.exit is None:
            self._note(self.probe.advance(now))
        speaking = self.drain and self.drain.report is None and now < self.exit_at + LAST_WORDS_SECONDS
        if self.exit is not None and not speaking:
            self._end("EXITED", REMAINS_SECONDS)

    def _note(self, verdict: tuple[bool, str] | None) -> None:
        if verdict is None:
            return
        passed, why = verdict
        if passed:
            self.status.change(self.events, stage="ready", state="ready", reason="", message="")
        elif "ready" in self.status.record["stages"]:
            self.status.change(self.events, state="unready", reason="NOT_READY", message=why)
        else:
            self.status.change(self.events, message=why)

    def _begin_drain(self) -> None:
        if self.drain or self.ending:
            return
        try:
            seconds = int(files.read_json(os.path.join(self.folder, "drain.json"))["seconds"])
        except (OSError, ValueError, KeyError, TypeError):
            # Whoever asked was cut off, and asks again.
            traceback.print_exc()
            return
        if self.probe:
            self.probe.stop()
        has_hook = self.main and self.exit is None and self.spec["hooks"]["drain"]
        self.drain = Drain(self._start_drain if has_hook else None, seconds)
        self.status.change(self.events, state="draining", reason="", message="")

    # -- its end ---------------------------------------------------------------------------------------------------

    def _end(self, reason: str, grace: float) -> None:
        """Begin to end it; asked again, only the grace may become less."""
        now = time.monotonic()
        self.kill_at = min(self.kill_at, now + grace)
        if self.ending:
            return
        self.ending, self.press_at = reason, now
        if self.probe:
            self.probe.stop()
        if self.drain:
            self.status.set(state="drained", drain=self.drain.killed())
        elif self.status.record["state"] == "ready":
            self.status.set(state="unready")
        if self.main and reason != "START_FAILED":
            self.status.change(self.events, reason=reason, message="it is being ended")
        if self.main and self.exit is None:
            os.killpg(self.main, signal.SIGTERM)

    def _press(self, now: float) -> None:
        """Until nothing is left: what the command leaves behind is asked to go, and in the end all is killed."""
        self.press_at = NEVER
        if self.childless:
            self._finish()
        elif now >= self.kill_at:
            self._signal_all(signal.SIGKILL)
            self.press_at = now + 0.2
        elif self.exit is not None and not self.swept:
            self.swept = True
            self._signal_all(signal.SIGTERM)
            self.kill_at = min(self.kill_at, now + REMAINS_SECONDS)

    def _signal_all(self, signum: int) -> None:
        for pid, started in processes.descendants(os.getpid()):
            processes.send(pid, started, signum)

    def _finish(self) -> None:
        """All children are gone; what carries the node's id all the same goes, too."""
        if processes.kill_node(self.spec["id"]):
            if self.log:
                self.log.drain()
            self.over = True
        else:
            self.press_at = time.monotonic() + 1.0


def _exit_code(wait_status: int | None) -> tuple[int | None, str]:
    """As a shell counts (128 + signal), and in words."""
    if wait_status is None:
        return None, ""
    code = os.waitstatus_to_exitcode(wait_status)
    if code < 0:
        return 128 - code, f"killed by {signal.Signals(-code).name}"
    return code, f"exited with code {code}"
