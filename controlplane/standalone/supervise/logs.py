"""The log file of one child, limited in size."""

import os
from collections import deque
from pathlib import Path
from typing import IO

LIMIT = 10 * 1024 * 1024
"""Bytes of one file. The previous file is kept as <name>.log.1."""


class LogFile:
    def __init__(self, path: Path, *, limit: int = LIMIT) -> None:
        self.path = path
        self._limit = limit
        self._file: IO[bytes] | None = None
        self._recent: deque[bytes] = deque(maxlen=16)
        self.lost = 0
        """Bytes that could not be written. A full disk costs the log, but does not stop the service."""

    def write(self, output: bytes) -> None:
        self._recent.append(output)
        try:
            file = self._opened()
            if file.tell() + len(output) > self._limit:
                self.close()
                self.path.replace(self.path.with_name(f"{self.path.name}.1"))
                file = self._opened()
            file.write(output)
        except OSError:
            self.lost += len(output)

    def last_lines(self, count: int) -> str:
        """Returns the last lines from memory, also when the disk is full."""
        lines = b"".join(self._recent).decode(errors="replace").splitlines()
        return "\n".join(lines[-count:])

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            self._file = open(self.path, "ab", buffering=0, opener=open_private)  # noqa: SIM115
        return self._file


def open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
