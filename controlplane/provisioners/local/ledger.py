"""What has ended stays ended: one small file a cluster that only ever grows, and outlives the cluster's folder.

The same file is the cluster's lock: whoever changes what exists of a cluster holds it, for less than a call.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from controlplane.provisioners.base import NotYet
from controlplane.provisioners.local import files
from controlplane.provisioners.local.layout import ClusterFolder

BUSY_SECONDS = 3.0
_ALL = b"all"


class Ledger:
    """Open and locked."""

    def __init__(self, opened: int) -> None:
        self.opened = opened

    def has_ended(self, run: int) -> bool:
        lines = self._lines()
        return _ALL in lines or run <= max((int(line) for line in lines if line.isdigit()), default=-1)

    @property
    def is_removed(self) -> bool:
        return _ALL in self._lines()

    def end(self, run: int) -> None:
        """This run and all before it; on disk when this returns."""
        if not self.has_ended(run):
            self._append(str(run).encode())

    def remove(self) -> None:
        if not self.is_removed:
            self._append(_ALL)

    def _append(self, line: bytes) -> None:
        # The first newline ends what a crash may have left of an earlier line.
        os.write(self.opened, b"\n" + line + b"\n")
        os.fsync(self.opened)

    def _lines(self) -> list[bytes]:
        whole, _, _ = os.pread(self.opened, 1024 * 1024, 0).rpartition(b"\n")
        return whole.split(b"\n")


@contextmanager
def locked(folder: ClusterFolder, *, wait: float = BUSY_SECONDS) -> Iterator[Ledger]:
    """Raises NotYet when another holds it for longer than `wait` seconds."""
    path = str(folder.ledger)
    files.make_folder(os.path.dirname(path))
    opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, files.PRIVATE_FILE)
    try:
        _lock(opened, wait)
        yield Ledger(opened)
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
