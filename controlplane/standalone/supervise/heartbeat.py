"""The worker's sign of life: a file that its loop touches at every turn, at least every five seconds."""

import os
from collections.abc import Callable
from pathlib import Path

HEARTBEAT = "worker.beat"


def beating(file: Path) -> Callable[[], None]:
    """Returns what a loop calls at every turn."""
    file.touch(mode=0o600)
    return lambda: os.utime(file)


class Heartbeat:
    """The reader's side. Compares the file with itself, so that no clock has to be right."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._last = 0

    def heard(self) -> bool:
        """Whether it was touched since the last time that this was asked."""
        try:
            touched = self._file.stat().st_mtime_ns
        except FileNotFoundError:
            return False
        heard, self._last = touched != self._last, touched
        return heard
