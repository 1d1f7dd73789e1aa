"""One supervisor for one data directory."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from controlplane.standalone.datadir import DataDir
from controlplane.standalone.errors import ExpectedError, plain_file_errors


@contextmanager
def held(data: DataDir, *, url: str) -> Iterator[None]:
    """Hold the data directory; who comes second is told who holds it. The kernel lets go when we die."""
    with plain_file_errors(data.run):
        file = os.open(data.run / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ExpectedError(_holder(data, os.pread(file, 4096, 0))) from None
        since = datetime.now(UTC).astimezone().isoformat(sep=" ", timespec="seconds")
        with plain_file_errors(data.run):
            os.ftruncate(file, 0)
            os.pwrite(file, json.dumps({"pid": os.getpid(), "since": since, "url": url}).encode(), 0)
        yield
    finally:
        os.close(file)


@contextmanager
def gate_closed(data: DataDir) -> Iterator[None]:
    """While this lasts, whoever comes to `pass_gate` waits there."""
    file = os.open(_gate(data.root), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def pass_gate(root: Path) -> None:
    """Wait, without costing anything, until nobody keeps the gate of this data directory closed."""
    file = os.open(_gate(root), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_SH)
    finally:
        os.close(file)


def _gate(root: Path) -> Path:
    return root / "run" / "gate"


def _holder(data: DataDir, content: bytes) -> str:
    try:
        facts = json.loads(content)
        who = f"process {facts['pid']} since {facts['since']}, at {facts['url']}"
    except (ValueError, KeyError, TypeError):
        who = "another process that is just starting"
    return f"Slipway already runs on {data.root}: {who}. Stop that one, or choose another --data-dir."
