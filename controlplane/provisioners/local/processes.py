"""Who runs on this machine, and signals that reach the process that was meant. Standard library only.

A process is known by pid and start time (clock ticks since boot); a zombie counts as dead.
"""

import os
import signal
import time
from collections.abc import Iterator

NODE_VARIABLE = "SLIPWAY_NODE"


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def start_time(pid: int) -> int | None:
    """None when there is no such process, or only its remains."""
    found = _stat(pid)
    return found[1] if found else None


def send(pid: int, started: int, signum: int) -> bool:
    """Signal the process of this pid and start time, and no other. False: it is not there any more."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        # The handle was opened first: what has this start time now is what the handle means.
        if start_time(pid) != started:
            return False
        signal.pidfd_send_signal(handle, signum)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def marked(variable: str, value: str) -> list[tuple[int, int]]:
    """(pid, start time) of all that carries this variable in its environment."""
    mark = f"{variable}={value}".encode()
    return [(pid, started) for pid, _, started in _all() if mark in _environment(pid)]


def called_with(program: str, argument: str) -> tuple[int, int] | None:
    """(pid, start time) of the process whose command has these two words side by side."""
    words = f"\0{program}\0{argument}\0".encode()
    return next(((pid, started) for pid, _, started in _all() if words in _told(pid, "cmdline")), None)


def descendants(ancestor: int) -> list[tuple[int, int]]:
    """(pid, start time) of all children of `ancestor`, and theirs."""
    children: dict[int, list[tuple[int, int]]] = {}
    for pid, parent, started in _all():
        children.setdefault(parent, []).append((pid, started))
    found: list[tuple[int, int]] = []
    level = children.get(ancestor, [])
    while level:
        found += level
        level = [child for pid, _ in level for child in children.get(pid, [])]
    return found


def kill_marked(variable: str, value: str, seconds: float = 2.0) -> bool:
    """Kill all that carries this variable; True once a whole look finds none of it."""
    deadline = time.monotonic() + seconds
    while found := marked(variable, value):
        for pid, started in found:
            send(pid, started, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def kill_node(node_id: str) -> bool:
    """Kill whatever carries this node's id; False while something of it is left."""
    return kill_marked(NODE_VARIABLE, node_id)


def _all() -> Iterator[tuple[int, int, int]]:
    """(pid, parent, start time) of everything alive."""
    for name in os.listdir("/proc"):
        if name.isdigit() and (found := _stat(int(name))):
            yield int(name), found[0], found[1]


def _stat(pid: int) -> tuple[int, int] | None:
    """(parent, start time), see proc(5); the name in parentheses may hold anything."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if not fields or fields[0] in (b"Z", b"X"):
        return None
    return int(fields[1]), int(fields[19])


def _environment(pid: int) -> list[bytes]:
    return _told(pid, "environ").split(b"\0")


def _told(pid: int, what: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{what}", "rb") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""
