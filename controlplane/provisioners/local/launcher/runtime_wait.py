"""A node's wait for its runtime: starts the installation if no process does it yet, and reports its progress.

The runtime's folder is complete when it holds its marker file. The process that installs it holds the lock beside the
folder, and writes there how far it is or why it failed.
"""

import json
import os
import time
from typing import Any

from controlplane.provisioners.local.launcher import file_locks
from controlplane.provisioners.local.launcher.children import spawn
from controlplane.system import files

CHECK_SECONDS = 0.2
REPORT_SECONDS = 1.0
RETRY_SECONDS = 30.0


class RuntimeWait:
    """runtime: {"marker", "lock", "progress", "failure", "environment": paths, "install": argv, "cwd": path}; {} when
    the node needs no installed runtime. since: when the node was requested, in seconds since the epoch.

    `advance` is called at `due`, a time of the monotonic clock.
    """

    def __init__(self, runtime: dict[str, Any], since: float) -> None:
        self.runtime, self.since = runtime, since
        self.due = self.report_due = self.retry_due = 0.0
        # The pid of the program that starts the installation; 0 when it does not run.
        self.starter = 0
        self.start_error = ""

    def ready(self) -> bool:
        return not self.runtime or os.path.exists(self.runtime["marker"])

    def advance(self, now: float) -> tuple[str, str] | None:
        """Returns (reason, message) about once a second; starts the installation when no process installs."""
        self.due = now + CHECK_SECONDS
        if now < self.report_due:
            return None
        self.report_due = now + REPORT_SECONDS
        if file_locks.is_locked(self.runtime["lock"]):
            progress = files.read_text(self.runtime["progress"]).strip()
            return "RUNTIME_INSTALLING", progress or "preparing to install"
        if (failure := self._recent_failure()) is not None:
            return "RUNTIME_FAILED", failure
        return self._install(now)

    def _recent_failure(self) -> str | None:
        """Why the last installation failed, while it is too early for the next one."""
        try:
            failure = files.read_json(self.runtime["failure"])
            failed_at, message = float(failure["at"]), str(failure["message"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        too_early = failed_at >= self.since and 0 <= time.time() - failed_at < RETRY_SECONDS
        return message if too_early else None

    def _install(self, now: float) -> tuple[str, str] | None:
        """Start the installer. It detaches itself, and ends at once when another process installs already."""
        if self.starter:
            return None
        if now < self.retry_due:
            return "RUNTIME_FAILED", f"the installation could not be started: {self.start_error}"
        self.retry_due = now + RETRY_SECONDS
        try:
            environment = json.loads(files.read_text(self.runtime["environment"]))
            with open(os.devnull, "wb") as sink:
                self.starter = spawn(self.runtime["install"], environment, self.runtime["cwd"], sink.fileno())
        except (OSError, ValueError) as error:
            self.start_error = str(error)
        return None

    def reaped(self, pid: int, wait_status: int) -> None:
        """A child of the launcher has ended; it may be the installer, which has then detached itself or failed."""
        if pid == self.starter:
            self.starter = 0
            if wait_status:
                self.start_error = f"it ended with {os.waitstatus_to_exitcode(wait_status)}"
            else:
                self.retry_due = 0.0
