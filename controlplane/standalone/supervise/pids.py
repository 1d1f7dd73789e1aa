"""Records our child processes in run/, and finds and ends them after a supervisor was killed."""

import contextlib
import os
import select
import signal
from collections.abc import Iterator

from controlplane.standalone.installation.datadir import DataDir
from controlplane.standalone.installation.environment import MARK
from controlplane.system.processes import ProcessIdentity, identify, with_variable

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
    """End the child of this name that a killed supervisor left behind, and the rest of its session.

    Returns False when there was none. A process that was given the old id since then is left alone.
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
        # The handle keeps naming the same process, even after the id is used again.
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
    """Yields the living processes with our mark in the session of a child, without the child itself."""
    for member in with_variable(MARK, mark):
        with contextlib.suppress(ProcessLookupError):
            if member.pid != leader and os.getsid(member.pid) == leader:
                yield member
