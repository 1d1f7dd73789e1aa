"""The run fence of a cluster: a small file that records which runs have ended. They can never be started again.

The file only grows, and it outlives the cluster's folder. It is also the cluster's lock: every call that changes what
exists of a cluster holds it, for less than the length of a call.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from controlplane.provisioners.base import NotYet
from controlplane.provisioners.local.layout import ClusterFolder
from controlplane.system import files

BUSY_SECONDS = 3.0
_ALL = b"all"


class RunFence:
    """The fence of one cluster, locked by this process. Each line is the number of a run, or "all"."""

    def __init__(self, opened: int) -> None:
        self._opened = opened

    def has_ended(self, run: int) -> bool:
        lines = self._lines()
        return _ALL in lines or run <= max((int(line) for line in lines if line.isdigit()), default=-1)

    @property
    def is_removed(self) -> bool:
        """Whether the whole cluster was removed."""
        return _ALL in self._lines()

    def end(self, run: int) -> None:
        """End this run and all before it. It is on disk when this returns."""
        if not self.has_ended(run):
            self._append(str(run).encode())

    def remove(self) -> None:
        """End every run, those of the future included. It is on disk when this returns."""
        if not self.is_removed:
            self._append(_ALL)

    def _append(self, line: bytes) -> None:
        # The first newline ends the unfinished line that a crash may have left.
        os.write(self._opened, b"\n" + line + b"\n")
        os.fsync(self._opened)

    def _lines(self) -> list[bytes]:
        finished, _, _ = os.pread(self._opened, 1024 * 1024, 0).rpartition(b"\n")
        return finished.split(b"\n")


@contextmanager
def locked(folder: ClusterFolder, *, wait: float = BUSY_SECONDS) -> Iterator[RunFence]:
    """Raises NotYet CLUSTER_BUSY when another process holds the lock for longer than `wait` seconds."""
    path = str(folder.fence)
    files.make_folder(os.path.dirname(path))
    opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, files.PRIVATE_FILE)
    try:
        _lock(opened, wait)
        yield RunFence(opened)
    finally:
        os.close(opened)


def _lock(opened: int, wait: float) -> None:
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise NotYet(
                    "CLUSTER_BUSY", "another change of this cluster is under way", delay=1.0
                ) from None
            time.sleep(0.02)
        else:
            return
