"""Which processes are ours: their ids in run/<name>.pid, and what tells them from a later user of an id."""

import contextlib
import os
import select
import signal
from collections.abc import Iterator

from controlplane.standalone.datadir import DataDir
from controlplane.system.processes import ProcessIdentity, identify, with_variable

# In the environment of everything that the supervisor starts; holds the id of its data directory.
MARK = "SLIPWAY_SUPERVISED_BY"
KILLED_SECONDS = 10


def record(data: DataDir, name: str, pid: int) -> None:
    """Write run/<name>.pid (the number alone, for people and scripts) and run/<name>.born beside it."""
    if identity := identify(pid):
        (data.run / f"{name}.born").write_text(f"{identity.pid} {identity.boot_id} {identity.start_ticks}\n")
        (data.run / f"{name}.pid").write_text(f"{pid}\n")


def forget(data: DataDir, name: str) -> None:
    (data.run / f"{name}.pid").unlink(missing_ok=True)
    (data.run / f"{name}.born").unlink(missing_ok=True)


def recorded(data: DataDir, name: str) -> ProcessIdentity | None:
    try:
        pid, boot, ticks = (data.run / f"{name}.born").read_text().split()
        return ProcessIdentity(int(pid), boot, int(ticks))
    except (FileNotFoundError, ValueError):
        return None


def end_leftover(data: DataDir, name: str, *, stop: signal.Signals, seconds: float) -> bool:
    """End what a supervisor that was killed left behind under this name; False when there was nothing.

    Never a process that merely has an old id of ours.
    """
    found = recorded(data, name)
    ended = False
    if found and found.is_alive:
        ended = _end(found, stop, seconds)
    for member in _session(found.pid, data.id) if found else ():
        ended = _end(member, signal.SIGKILL, KILLED_SECONDS) or ended
    forget(data, name)
    return ended


def _end(process: ProcessIdentity, stop: signal.Signals, seconds: float) -> bool:
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        # From here on the handle cannot come to mean another process.
        if not process.is_alive:
            return False
        for number, patience in ((stop, seconds), (signal.SIGKILL, KILLED_SECONDS)):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
            if select.select([handle], [], [], patience)[0]:
                break
        return True
    finally:
        os.close(handle)


def _session(leader: int, mark: str) -> Iterator[ProcessIdentity]:
    """Living processes in the session of a child of ours that carry our mark, its leader excepted."""
    for member in with_variable(MARK, mark):
        with contextlib.suppress(ProcessLookupError):
            if member.pid != leader and os.getsid(member.pid) == leader:
                yield member
