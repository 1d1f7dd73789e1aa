"""The lock of a data directory: one `up`, or one management command that starts the database, at a time."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from controlplane.standalone.installation.datadir import DataDir
from controlplane.standalone.installation.errors import ExpectedError, plain_file_errors
from controlplane.standalone.supervise import pids


@dataclass(frozen=True, slots=True)
class LockOwner:
    """The process that holds a data directory. url is "" for a management command."""

    pid: int
    since: str
    url: str

    @property
    def port(self) -> int | None:
        return urlsplit(self.url).port


class HeldError(ExpectedError):
    """Another process holds the data directory."""

    def __init__(self, data: DataDir, running: LockOwner | None) -> None:
        self.is_command = running is not None and not running.url
        """Whether a management command holds the lock, for a moment, and not `up`."""
        who, what = "another process that is just starting", "Stop that one"
        if running:
            where = f"at {running.url}" if running.url else "a management command"
            who = f"process {running.pid} since {running.since}, {where}"
        if self.is_command:
            what = "Wait for its end"
        super().__init__(f"Slipway already runs on {data.root}: {who}. {what}, or choose another --data-dir.")


@contextmanager
def held(data: DataDir, *, url: str) -> Iterator[None]:
    """Hold the lock of the data directory. The kernel releases it when this process dies.

    url: the address of `up`, or "" for a management command. Raises HeldError.
    """
    with plain_file_errors(data.run):
        file = os.open(data.run / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HeldError(data, _running(os.pread(file, 4096, 0))) from None
        since = datetime.now(UTC).astimezone().isoformat(sep=" ", timespec="seconds")
        with plain_file_errors(data.run):
            os.ftruncate(file, 0)
            os.pwrite(file, json.dumps({"pid": os.getpid(), "since": since, "url": url}).encode(), 0)
        yield
    finally:
        os.close(file)


@contextmanager
def gate_closed(data: DataDir) -> Iterator[None]:
    """Block `pass_gate` in other processes for the duration of the context."""
    file = os.open(_gate(data.root), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def pass_gate(root: Path) -> None:
    """Wait in the kernel until no process keeps the gate of this data directory closed."""
    file = os.open(_gate(root), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_SH)
    finally:
        os.close(file)


def _gate(root: Path) -> Path:
    return root / "run" / "gate"


def running_in(root: Path) -> LockOwner | None:
    """Returns the `up` that runs on this data directory; None when none runs, or when we may not read the files.

    This takes no lock, because that would make an `up` fail that starts at the same moment.
    """
    data = DataDir(root, "")
    try:
        supervisor = pids.recorded(data, "supervisor")
        running = _running((data.run / "lock").read_bytes())
    except OSError:
        return None
    return running if running and supervisor and supervisor.is_alive else None


def _running(content: bytes) -> LockOwner | None:
    try:
        facts = json.loads(content)
        return LockOwner(int(facts["pid"]), str(facts["since"]), str(facts["url"]))
    except (ValueError, KeyError, TypeError):
        return None
