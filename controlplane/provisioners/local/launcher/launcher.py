"""The parent of one node: starts its command, watches it, ends it, and records what it observes.

One thread, one loop around poll(2). The launcher owns the lock of the node's folder for as long as a process of the
node may be alive. A free lock therefore means that the node has ended or that its launcher was killed.

A node goes through four stages here: it waits for its runtime, runs, is being ended, and is over.
"""

import os
import select
import signal
import time
import traceback
from collections.abc import Mapping
from types import FrameType
from typing import Any

from controlplane.provisioners.local.launcher import children, node_log
from controlplane.provisioners.local.launcher.children import HookRun
from controlplane.provisioners.local.launcher.drain import Drain
from controlplane.provisioners.local.launcher.ready_probe import ReadyProbe
from controlplane.provisioners.local.launcher.runtime_wait import RuntimeWait
from controlplane.provisioners.local.launcher.status import Status
from controlplane.system import files, processes

HOOK_SECONDS = 5.0
# How long processes that the command left behind have after SIGTERM.
LEFTOVER_SECONDS = 2.0
# How long a drain hook may go on after the node's command has ended.
HOOK_AFTER_EXIT_SECONDS = 3.0
FOLDER_CHECK_SECONDS = 3.0
NEVER = float("inf")

# Signals that a launcher understands. STOP: end the node with its grace. KILL: end it at once. DRAIN: begin the drain
# that drain.json describes.
STOP, KILL, DRAIN = signal.SIGTERM, signal.SIGUSR2, signal.SIGUSR1
# RELOAD: files of the node have changed. REWRITE: status.json is damaged and has to be written again.
RELOAD, REWRITE = signal.SIGHUP, signal.SIGWINCH


class Launcher:
    """folder: of the node. events: see `notifications`. spec: see `launcher_spec.spec`."""

    def __init__(self, folder: str, events: str, spec: Mapping[str, Any], status: Status) -> None:
        self.folder, self.events, self.spec, self.status = folder, events, spec, status
        # Signals that have arrived and are not handled yet.
        self.signals: set[int] = set()
        self.waker = self._install_signal_handlers()
        self.wait: RuntimeWait | None = RuntimeWait(spec["runtime"], spec["applied_at"])
        self.log: node_log.LogWriter | None = None
        self.probe: ReadyProbe | None = None
        self.drain: Drain | None = None
        # The pid of the node's command, 0 before it starts; its wait status and the time of its end.
        self.main = 0
        self.exit: int | None = None
        self.exit_at = NEVER
        self.childless = True
        self.folder_check_due = 0.0
        # The reason of the end, "" while the node is not being ended.
        self.ending = ""
        self.kill_at = self.end_step_due = NEVER
        self.leftovers_signalled = self.over = False

    def run(self) -> None:
        """Returns when no process of the node is left. The record then lacks only `end_fields`."""
        while not self.over:
            self._reap()
            self._handle_signals()
            now = time.monotonic()
            self._check_folder(now)
            if self.ending:
                self._continue_end(now)
            elif self.wait and not self.drain:
                self._await_runtime(self.wait, now)
            else:
                self._watch(now)
            self.status.flush(self.events)
            if not self.over:
                self._sleep()

    def end_fields(self) -> dict[str, Any]:
        """The last change of the node's record."""
        code, message = _describe_exit(self.exit)
        # Nothing of the log goes into the message: every member of the tenant reads messages, not every log.
        if self.ending == "START_FAILED":
            message = self.status.record.get("message", "")
        return {"state": "ended", "reason": self.ending, "message": message, "exit_code": code}

    def kill_everything(self, seconds: float = 5.0) -> None:
        """Kill all processes of the node, because this launcher cannot go on."""
        deadline = time.monotonic() + seconds
        while not self.childless and time.monotonic() < deadline:
            self._signal_descendants(signal.SIGKILL)
            time.sleep(0.02)
            self._reap()
        children.kill_node(self.spec["id"])

    # -- signals, children, sleep ----------------------------------------------------------------------------------

    def _install_signal_handlers(self) -> int:
        """Returns a file descriptor that becomes readable when a signal arrives."""
        waker, wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        for signum in (STOP, KILL, DRAIN, RELOAD, REWRITE, signal.SIGCHLD):
            signal.signal(signum, self._on_signal)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return waker

    def _on_signal(self, signum: int, _frame: FrameType | None) -> None:
        self.signals.add(signum)

    def _handle_signals(self) -> None:
        signals, self.signals = self.signals, set()
        if KILL in signals:
            self._begin_end("STOPPED", 0.0)
        elif STOP in signals:
            self._begin_end("STOPPED", float(self.spec["stop_seconds"]))
        if REWRITE in signals:
            self.status.unsaved = True
        if DRAIN in signals:
            self._begin_drain()
        if RELOAD in signals and self.main and self.exit is None:
            os.kill(self.main, signal.SIGHUP)

    def _check_folder(self, now: float) -> None:
        """End the node when its folder was deleted: nothing else could find and end it any more."""
        if now < self.folder_check_due:
            return
        self.folder_check_due = now + FOLDER_CHECK_SECONDS
        if not os.path.exists(os.path.join(self.folder, "lock")):
            self._begin_end("FOLDER_LOST", float(self.spec["stop_seconds"]))

    def _reap(self) -> None:
        """Collect the exit status of every child that has ended, adopted orphans included."""
        while True:
            try:
                pid, wait_status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self.childless = True
                return
            self.childless = False
            if pid == 0:
                return
            if pid == self.main:
                self.exit, self.exit_at = wait_status, time.monotonic()
            elif self.wait:
                self.wait.reaped(pid, wait_status)
            for hook in self._running_hooks():
                if hook.pid == pid:
                    hook.reaped(wait_status)

    def _running_hooks(self) -> list[HookRun]:
        runs = [watcher.run for watcher in (self.probe, self.drain) if watcher]
        return [run for run in runs if run and not run.over]

    def _sleep(self) -> None:
        """Wait for a signal, output of the node, or the next due time."""
        poll = select.poll()
        poll.register(self.waker, select.POLLIN)
        if self.log and self.log.open:
            poll.register(self.log.source, select.POLLIN)
        for hook in self._running_hooks():
            # Hooks are not in the poll: a pipe that a hook has closed would end every poll at once. SIGCHLD does.
            hook.read()
        poll.poll(max(0.0, min(self._due(), self.folder_check_due) - time.monotonic()) * 1000)
        if self.log:
            self.log.pump()
        try:
            os.read(self.waker, 4096)
        except BlockingIOError:
            return

    def _due(self) -> float:
        now = time.monotonic()
        retry = now + 0.25 if self.status.unsaved or self.status.unsent else NEVER
        if self.ending:
            return min(retry, self.end_step_due, self.kill_at if self.kill_at > now else NEVER)
        if self.wait and not self.drain:
            return min(retry, self.wait.due)
        hook_end = self.exit_at + HOOK_AFTER_EXIT_SECONDS if self.exit is not None else NEVER
        watcher = self.drain or self.probe
        return min(retry, hook_end, watcher.due if watcher else NEVER)

    # -- the node runs ---------------------------------------------------------------------------------------------

    def _await_runtime(self, wait: RuntimeWait, now: float) -> None:
        if wait.ready():
            self.wait = None
            self.status.change(self.events, stage="image", reason="", message="")
            self._start()
        elif progress := wait.advance(now):
            self.status.change(self.events, reason=progress[0], message=progress[1])

    def _start(self) -> None:
        self.log = node_log.LogWriter(self.folder)
        children.adopt_orphans()
        try:
            self.main = children.spawn(
                self.spec["command"], self.spec["env"], self.spec["cwd"], self.log.sink
            )
        except OSError as error:
            self.status.set(message=f"cannot start {self.spec['command'][0]}: {error.strerror}")
            self._begin_end("START_FAILED", 0.0)
            return
        finally:
            self.log.close_sink()
        if self.spec["hooks"]["ready"]:
            self.status.change(self.events, stage="started", state="starting")
            self.probe = ReadyProbe(self._run_ready_hook, self.spec["address"], self.spec["ports"])
        else:
            self.status.set(stage="started")
            self.status.change(self.events, stage="ready", state="ready")

    def _run_ready_hook(self) -> HookRun:
        return HookRun([self.spec["hooks"]["ready"]], self.spec["env"], self.spec["cwd"], HOOK_SECONDS)

    def _run_drain_hook(self, seconds: int) -> HookRun:
        env = {**self.spec["env"], "SLIPWAY_DRAIN_SECONDS": str(seconds)}
        return HookRun([self.spec["hooks"]["drain"]], env, self.spec["cwd"], seconds + HOOK_SECONDS)

    def _watch(self, now: float) -> None:
        """Follow the probe or the drain, and notice that the command has ended."""
        if self.drain:
            if report := self.drain.advance(now):
                in_time = report["outcome"] != "deadline"
                message = "" if in_time else f"not drained in time: {self.drain.message}"
                self.status.change(self.events, state="drained", drain=report, reason="", message=message)
        elif self.probe and self.exit is None and (result := self.probe.advance(now)):
            self._record_probe(*result)
        hook_may_go_on = (
            self.drain and self.drain.report is None and now < self.exit_at + HOOK_AFTER_EXIT_SECONDS
        )
        if self.exit is not None and not hook_may_go_on:
            self._begin_end("EXITED", LEFTOVER_SECONDS)

    def _record_probe(self, ready: bool, message: str) -> None:
        if ready:
            self.status.change(self.events, stage="ready", state="ready", reason="", message="")
        elif "ready" in self.status.record["stages"]:
            self.status.change(self.events, state="unready", reason="NOT_READY", message=message)
        else:
            self.status.change(self.events, message=message)

    def _begin_drain(self) -> None:
        if self.drain or self.ending:
            return
        try:
            seconds = int(files.read_json(os.path.join(self.folder, "drain.json"))["seconds"])
        except (OSError, ValueError, KeyError, TypeError):
            # The file is missing or damaged. The reconciler requests the drain again.
            traceback.print_exc()
            return
        if self.probe:
            self.probe.stop()
        has_hook = self.main and self.exit is None and self.spec["hooks"]["drain"]
        self.drain = Drain(self._run_drain_hook if has_hook else None, seconds)
        self.status.change(self.events, state="draining", reason="", message="")

    # -- the node ends ---------------------------------------------------------------------------------------------

    def _begin_end(self, reason: str, grace: float) -> None:
        """Send SIGTERM; SIGKILL follows after `grace` seconds. A later call can only shorten the grace."""
        now = time.monotonic()
        self.kill_at = min(self.kill_at, now + grace)
        if self.ending:
            return
        self.ending, self.end_step_due = reason, now
        if self.probe:
            self.probe.stop()
        if self.drain:
            self.status.set(state="drained", drain=self.drain.abort())
        elif self.status.record["state"] == "ready":
            self.status.set(state="unready")
        if self.main and reason != "START_FAILED":
            self.status.change(self.events, reason=reason, message="it is being ended")
        if self.main and self.exit is None:
            os.killpg(self.main, signal.SIGTERM)

    def _continue_end(self, now: float) -> None:
        """The next step of the end: SIGTERM for what the command left behind, SIGKILL once the grace is over."""
        self.end_step_due = NEVER
        if self.childless:
            self._finish()
        elif now >= self.kill_at:
            self._signal_descendants(signal.SIGKILL)
            self.end_step_due = now + 0.2
        elif self.exit is not None and not self.leftovers_signalled:
            self.leftovers_signalled = True
            self._signal_descendants(signal.SIGTERM)
            self.kill_at = min(self.kill_at, now + LEFTOVER_SECONDS)

    def _signal_descendants(self, signum: int) -> None:
        for process in processes.descendants(os.getpid()):
            processes.send_signal(process, signum)

    def _finish(self) -> None:
        """All children have ended. Kill processes that escaped and still carry the node's id; try again in a second."""
        if children.kill_node(self.spec["id"]):
            if self.log:
                self.log.copy_rest()
            self.over = True
        else:
            self.end_step_due = time.monotonic() + 1.0


def _describe_exit(wait_status: int | None) -> tuple[int | None, str]:
    """The exit code as a shell counts it (128 + signal), and a message."""
    if wait_status is None:
        return None, ""
    code = os.waitstatus_to_exitcode(wait_status)
    if code < 0:
        return 128 - code, f"killed by {signal.Signals(-code).name}"
    return code, f"exited with code {code}"
