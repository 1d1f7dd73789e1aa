"""The name of the process that owns a lease, so that the leases of a dead process end before they run out."""

import os
from functools import cache
from pathlib import Path

from django.db.models.functions import Now

from controlplane.work.models import Work


def lease_owner() -> str:
    """Names this process for ever: boot id, process namespace, process id, start time in clock ticks."""
    return _lease_owner(os.getpid())


def release_dead_leases() -> int:
    """Free every lease of a process of this machine that is not alive any more. Returns their number. Idempotent.

    A dead process sends no more calls. A call that it had sent may still arrive, but no later than at the end of any
    other lease: the fence refuses its result, and a cluster rests only after an observation that is later.
    """
    if not Path("/proc/1/stat").exists():
        # The processes of other users are hidden here, so a process that is not found may be alive.
        return 0
    leased = Work.objects.filter(lease_until__gt=Now(), lease_owner__startswith=_namespace())
    owners = leased.values_list("lease_owner", flat=True).distinct()
    dead = [owner for owner in owners if not _is_alive(owner)]
    if not dead:
        return 0
    # due_at stays as it was when the item was claimed, so it is due now.
    return Work.objects.filter(lease_owner__in=dead).update(lease_until=None, lease_owner="")


@cache
def _lease_owner(pid: int) -> str:
    return f"{_namespace()}{_process(pid)}"


@cache
def _namespace() -> str:
    """The prefix of the processes whose state this process can read; others run on other machines or in containers."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{Path('/proc/self/ns/pid').readlink()}/"


def _process(pid: int) -> str:
    """The process id with its start time, because ids are used again. "" for a process that has ended."""
    try:
        # The name, between the first "(" and the last ")", may contain anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in {"Z", "X"} else f"{pid}/{fields[19]}"


def _is_alive(name: str) -> bool:
    process = name.removeprefix(_namespace())
    return _process(int(process.partition("/")[0])) == process
