"""Which process holds a lease, so that what a dead one held need not wait until the lease has run out."""

import os
from functools import cache
from pathlib import Path

from django.db import connection

from controlplane.system.processes import boot_id, identify

_LEASES = """
SELECT DISTINCT lease_owner FROM work_work WHERE lease_until > clock_timestamp() AND starts_with(lease_owner, %s)
"""
# Due as it was when it was claimed, which is now.
_GIVE_BACK = (
    "UPDATE work_work SET lease_until = NULL, lease_owner = '' WHERE lease_owner = ANY(%s) RETURNING 1"
)


def lease_owner() -> str:
    """This process, as no other one was or will be called: machine and boot, namespace, id, start in clock ticks."""
    return _lease_owner(os.getpid())


def release_dead_leases() -> int:
    """Free every lease of a process of this machine that is not alive any more; how many. Idempotent.

    The dead act no more, and a call that one of them had sent is no later than at the end of a lease: the fence
    and the rest after the last act see to both.
    """
    if not Path("/proc/1/stat").exists():
        # Processes of others are hidden here: nobody can be called dead.
        return 0
    with connection.cursor() as cursor:
        cursor.execute(_LEASES, [_place()])
        dead = [name for (name,) in cursor.fetchall() if not _lives(name)]
        if dead:
            cursor.execute(_GIVE_BACK, [dead])
            return int(cursor.rowcount)
    return 0


@cache
def _lease_owner(pid: int) -> str:
    return f"{_place()}{_process(pid)}"


@cache
def _place() -> str:
    """Processes of other machines and containers cannot be asked after: theirs is another place."""
    return f"{boot_id()}/{Path('/proc/self/ns/pid').readlink()}/"


def _process(pid: int) -> str:
    """Ids are used again, ids with their start time are not. "" for one that is gone or a zombie."""
    identity = identify(pid)
    return f"{pid}/{identity.start_ticks}" if identity else ""


def _lives(name: str) -> bool:
    process = name.removeprefix(_place())
    return _process(int(process.partition("/")[0])) == process
