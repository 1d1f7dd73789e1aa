"""Cleans up after a PostgreSQL that was killed, so that the next one can start."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from controlplane.standalone.database.postgres import Postgres
from controlplane.standalone.installation.errors import ExpectedError

END_SECONDS = 10.0


def clean_up_after_crash(server: Postgres) -> None:
    """End the processes of a killed server, and keep its stale postmaster.pid from blocking the next start.

    The caller holds the lock of the data directory, and no server of ours runs on it.
    """
    end_server_processes(server)
    _take_over_pid_file(server)


def end_server_processes(server: Postgres) -> None:
    """Kill every PostgreSQL process that works below `server.home`, and wait until they are gone.

    A backend that was stopped by SIGSTOP does not notice the end of its postmaster, and keeps the shared memory. The
    bootstrap process of a killed initdb continues to write.
    """
    deadline = time.monotonic() + END_SECONDS
    while found := [process for process in Path("/proc").glob("[0-9]*") if _belongs_to(process, server)]:
        if time.monotonic() > deadline:
            raise ExpectedError(f"Processes of an earlier PostgreSQL in {server.home} do not end: {found}.")
        for process in found:
            with suppress(ProcessLookupError):
                os.kill(int(process.name), signal.SIGKILL)
        time.sleep(0.01)


def _belongs_to(process: Path, server: Postgres) -> bool:
    try:
        program, folder = os.readlink(process / "exe"), Path(os.readlink(process / "cwd"))
    except OSError:
        # The process has ended, or belongs to another user.
        return False
    ours = {str((server.programs / name).resolve()) for name in ("postgres", "initdb")}
    return program in ours and folder.is_relative_to(server.home.resolve())


def _take_over_pid_file(server: Postgres) -> None:
    """Write our own process id into a stale postmaster.pid, whose id may belong to another process by now.

    The server refuses to start when a living process of its user has that id. It ignores the id of its parent, which
    is this process, and then checks reliably: whether the old shared memory is in use.
    """
    try:
        # PostgreSQL's user owns the folder. Root must not follow a link that this user may have put there.
        file = os.open(server.data / "postmaster.pid", os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    with os.fdopen(file, "r+") as lines:
        first, _, rest = lines.read().partition("\n")
        with suppress(OSError):
            # The process of that id may have ended, or belong to another user.
            if Path(os.readlink(f"/proc/{first}/cwd")) == server.data.resolve():
                return
        lines.seek(0)
        lines.write(f"{os.getpid()}\n{rest}")
        lines.truncate()
