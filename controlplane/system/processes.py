"""Identity of processes on this machine, and signals that never reach another process. Standard library only.

The kernel gives the pid of a dead process to a new one. A pid with its boot and its start time is never given again.
Zombies count as dead.
"""

import os
import signal
import time
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple


class ProcessIdentity(NamedTuple):
    """One process. boot_id: the kernel's random name of a boot. start_ticks: its start, in clock ticks since boot."""

    pid: int
    boot_id: str
    start_ticks: int

    @property
    def is_alive(self) -> bool:
        return identify(self.pid) == self


@cache
def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def identify(pid: int) -> ProcessIdentity | None:
    """The identity of a living process; None when the pid belongs to none, or to a zombie."""
    found = _parent_and_start(pid)
    return ProcessIdentity(pid, boot_id(), found[1]) if found else None


def send_signal(process: ProcessIdentity, signum: int) -> bool:
    """Signal this process and no other. Returns False when it is dead."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        # The handle was opened first: if the identity still matches now, the handle means this process.
        if not process.is_alive:
            return False
        signal.pidfd_send_signal(handle, signum)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def with_variable(name: str, value: str) -> list[ProcessIdentity]:
    """Every process that was started with this environment variable and that this user may read."""
    entry = f"{name}={value}".encode()
    return [process for process, _ in _all() if entry in _read(process.pid, "environ").split(b"\0")]


def with_arguments(first: str, second: str) -> ProcessIdentity | None:
    """A process whose command line has these two arguments next to each other."""
    words = f"\0{first}\0{second}\0".encode()
    return next((process for process, _ in _all() if words in _read(process.pid, "cmdline")), None)


def descendants(pid: int) -> list[ProcessIdentity]:
    """The children of this process, their children, and so on; parents before their children."""
    children: dict[int, list[ProcessIdentity]] = {}
    for process, parent in _all():
        children.setdefault(parent, []).append(process)
    found: list[ProcessIdentity] = []
    level = children.get(pid, [])
    while level:
        found += level
        level = [child for process in level for child in children.get(process.pid, [])]
    return found


def kill_with_variable(name: str, value: str, seconds: float = 2.0) -> bool:
    """Kill every process with this environment variable, and those that they start meanwhile.

    Returns True once none is left, False when some are left after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while found := with_variable(name, value):
        for process in found:
            send_signal(process, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _all() -> Iterator[tuple[ProcessIdentity, int]]:
    """Every living process, with the pid of its parent."""
    boot = boot_id()
    for name in os.listdir("/proc"):
        if name.isdigit() and (found := _parent_and_start(int(name))):
            yield ProcessIdentity(int(name), boot, found[1]), found[0]


def _parent_and_start(pid: int) -> tuple[int, int] | None:
    """From /proc/<pid>/stat, see proc_pid_stat(5); None for dead processes."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The second field is the program's name in parentheses, which may hold spaces and parentheses.
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if not fields or fields[0] in (b"Z", b"X"):
        return None
    return int(fields[1]), int(fields[19])


def _read(pid: int, name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""
