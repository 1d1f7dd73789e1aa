"""The worker's heartbeat: a file that its loop touches at every turn, at least every five seconds."""

import os
from collections.abc import Callable
from pathlib import Path

HEARTBEAT = "worker.beat"


def start_heartbeat(file: Path) -> Callable[[], None]:
    """Make the file. Returns the function that touches it, for a loop to call at every turn."""
    file.touch(mode=0o600)
    return lambda: os.utime(file)


class Heartbeat:
    """Reads a heartbeat. It compares the file's time with the previous one, so no clock has to be right."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._last = 0

    def advanced(self) -> bool:
        """Whether the file was touched since the previous call."""
        try:
            touched = self._file.stat().st_mtime_ns
        except FileNotFoundError:
            return False
        advanced, self._last = touched != self._last, touched
        return advanced
