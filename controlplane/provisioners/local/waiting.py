"""A node's wait for its runtime: whether it is there, who installs it, and what to say meanwhile.

Standard library only: launchers use it. The runtime's folder is complete when it holds the marker; whoever installs
it holds the lock beside it, and writes there how far it is and why it failed.
"""

import json
import os
import time
from typing import Any

from controlplane.provisioners.local import files, locks
from controlplane.provisioners.local.children import spawn

LOOK_SECONDS = 0.2
TELL_SECONDS = 1.0
RETRY_SECONDS = 30.0


class RuntimeWait:
    """needs: {"marker", "lock", "progress", "failure": paths, "install": argv, "cwd"}, or {} when nothing is."""

    def __init__(self, needs: dict[str, Any], since: float) -> None:
        self.needs, self.since = needs, since
        self.due = self.tell_due = self.retry_due = 0.0
        self.starter, self.trouble = 0, ""

    def ready(self) -> bool:
        return not self.needs or os.path.exists(self.needs["marker"])

    def advance(self, now: float) -> tuple[str, str] | None:
        """(reason, message) when there is something to tell. Starts the installation when nobody does it."""
        self.due = now + LOOK_SECONDS
        if now < self.tell_due:
            return None
        self.tell_due = now + TELL_SECONDS
        if locks.held(self.needs["lock"]):
            return "RUNTIME_INSTALLING", files.read_text(
                self.needs["progress"]
            ).strip() or "preparing to install"
        if (failure := self._fresh_failure()) is not None:
            return "RUNTIME_FAILED", failure
        return self._install(now)

    def _fresh_failure(self) -> str | None:
        """Why the last attempt failed, while it is too early for the next."""
        try:
            told = files.read_json(self.needs["failure"])
            failed_at, message = float(told["at"]), str(told["message"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        too_early = failed_at >= self.since and 0 <= time.time() - failed_at < RETRY_SECONDS
        return message if too_early else None

    def _install(self, now: float) -> tuple[str, str] | None:
        """Start the program that installs. It detaches itself, and leaves at once when another is at it."""
        if self.starter:
            return None
        if now < self.retry_due:
            return "RUNTIME_FAILED", f"the installation could not be started: {self.trouble}"
        self.retry_due = now + RETRY_SECONDS
        try:
            environment = json.loads(files.read_text(self.needs["environment"]))
            with open(os.devnull, "wb") as nowhere:
                self.starter = spawn(self.needs["install"], environment, self.needs["cwd"], nowhere.fileno())
        except (OSError, ValueError) as error:
            self.trouble = str(error)
        return None

    def reaped(self, pid: int, wait_status: int) -> None:
        if pid == self.starter:
            self.starter = 0
            if wait_status:
                self.trouble = f"it ended with {os.waitstatus_to_exitcode(wait_status)}"
            else:
                self.retry_due = 0.0
