"""Records our child processes in run/, and finds and ends them after a supervisor was killed."""

import contextlib
import os
import select
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from controlplane.standalone.installation.datadir import DataDir
from controlplane.standalone.installation.environment import MARK

KILLED_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Born:
    """A process for as long as the machine runs: ids are used again, attempt times are not."""

    pid: int
    boot: str
    ticks: int

    @property
    def lives(self) -> bool:
        return born(self.pid) == self


def born(pid: int) -> Born | None:
    """The identity of a living process; None for one that is gone or a zombie."""
    if (fields := _stat(pid)) is None or fields[0] in {"Z", "X"}:
        return None
    return Born(pid, Path("/proc/sys/kernel/random/boot_id").read_text().strip(), int(fields[19]))


def record(data: DataDir, name: str, pid: int) -> None:
    """Write run/<name>.pid (the number alone, for people and scripts) and run/<name>.born beside it."""
    if identity := born(pid):
        (data.run / f"{name}.born").write_text(f"{identity.pid} {identity.boot} {identity.ticks}\n")
        (data.run / f"{name}.pid").write_text(f"{pid}\n")


def forget(data: DataDir, name: str) -> None:
    (data.run / f"{name}.pid").unlink(missing_ok=True)
    (data.run / f"{name}.born").unlink(missing_ok=True)


def recorded(data: DataDir, name: str) -> Born | None:
    try:
        pid, boot, ticks = (data.run / f"{name}.born").read_text().split()
        return Born(int(pid), boot, int(ticks))
    except (FileNotFoundError, ValueError):
        return None


def end_leftover(data: DataDir, name: str, *, stop: signal.Signals, seconds: float) -> bool:
    """End the child of this name that a killed supervisor left behind, and the rest of its session.

    Returns False when there was none. A process that was given the old id since then is left alone.
    """
    found = recorded(data, name)
    ended = False
    if found and found.lives:
        ended = _end(found, stop, seconds)
    for member in _session(found.pid, data.id) if found else ():
        ended = _end(member, signal.SIGKILL, KILLED_SECONDS) or ended
    forget(data, name)
    return ended


def _end(process: Born, stop: signal.Signals, seconds: float) -> bool:
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        # The handle keeps naming the same process, even after the id is used again.
        if not process.lives:
            return False
        for number, patience in ((stop, seconds), (signal.SIGKILL, KILLED_SECONDS)):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
            if select.select([handle], [], [], patience)[0]:
                break
        return True
    finally:
        os.close(handle)


def _session(leader: int, mark: str) -> Iterator[Born]:
    """Yields the living processes with our mark in the session of a child, without the child itself."""
    for folder in Path("/proc").glob("[0-9]*"):
        fields = _stat(int(folder.name))
        if fields is None or int(fields[3]) != leader or int(folder.name) == leader:
            continue
        with contextlib.suppress(OSError):
            ours = f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0")
            if ours and (member := born(int(folder.name))):
                yield member


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat from the third (state) on; the second may hold anything but a ")"."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
