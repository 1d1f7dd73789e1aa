"""Makes the data of the embedded PostgreSQL: initdb, the role, the database, the access rules."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from controlplane.standalone.database.binaries import MAJOR, program_folder
from controlplane.standalone.database.postgres import (
    DATABASE,
    ROLE,
    Postgres,
    database_environment,
    socket_folder,
)
from controlplane.standalone.database.recovery import end_server_processes
from controlplane.standalone.installation.errors import ExpectedError, disk_full, plain_file_errors
from controlplane.standalone.installation.files import make_folder
from controlplane.standalone.installation.owner import Owner
from controlplane.standalone.supervise.command import die_with_parent

# initdb writes these into postgresql.conf, for a small machine. Users may change them there.
TUNING = {
    "shared_buffers": "64MB",
    "max_connections": "200",
    "max_wal_size": "256MB",
    "checkpoint_timeout": "15min",
    # Each of these saves a process, or memory, that an installation of this size does not need.
    "io_method": "sync",
    "max_logical_replication_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "log_checkpoints": "off",
}
# A single-user server reads one statement per line.
FIRST_STATEMENTS = f"CREATE ROLE {ROLE} LOGIN CREATEDB;\nCREATE DATABASE {DATABASE} OWNER {ROLE};\n"


def prepare_postgres(
    home: Path, *, owner: Owner | None, settings: Mapping[str, str] | None = None, durable: bool = True
) -> Postgres:
    """Make what the server needs below `home` and keep what exists. Returns the server, ready to start.

    It may be repeated after any interruption. durable: False flushes nothing to the disk, for tests.
    """
    with plain_file_errors(home):
        make_folder(home, mode=0o711 if owner else 0o700)
        if owner and not owner.may_enter(home):
            raise ExpectedError(
                f"PostgreSQL's user {owner.name} cannot reach {home}: choose a --data-dir below folders that "
                "others may pass through, such as the default one."
            )
        version = home / "data" / "PG_VERSION"
        programs = program_folder(int(version.read_text()) if version.exists() else MAJOR, owner)
        server = Postgres(home, owner, programs, socket_folder(home, owner), settings or {})
        _write_access_rules(server)
        end_server_processes(server)
        for unfinished in home.glob("unfinished-*"):
            shutil.rmtree(unfinished)
        if not server.data.exists():
            _make_data(server, durable=durable)
    return server


def _write_access_rules(server: Postgres) -> None:
    """Allow peer authentication only, for our own OS user: the kernel tells the server who connects."""
    rules = {
        "pg_hba.conf": "local all all peer map=slipway\n",
        "pg_ident.conf": "".join(f'slipway "{_our_name()}" {role}\n' for role in (ROLE, "postgres")),
    }
    for name, text in rules.items():
        path = server.home / name
        unfinished = path.with_suffix(".new")
        unfinished.write_text(text)
        unfinished.chmod(0o640)
        if server.owner:
            os.chown(unfinished, 0, server.owner.gid)
        unfinished.rename(path)


def _our_name() -> str:
    try:
        # Only the password database: a variable of the environment could hold any name.
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise ExpectedError(
            f"The user id {os.geteuid()} has no name on this machine, and PostgreSQL needs one: "
            "add it to /etc/passwd, or point DATABASE_URL at a PostgreSQL of yours."
        ) from None


def _make_data(server: Postgres, *, durable: bool) -> None:
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=server.home))
    try:
        if server.owner:
            os.chown(unfinished, server.owner.uid, server.owner.gid)
        options = ["--username=postgres", "--auth=peer", "--encoding=UTF8", "--locale=C"]
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        options += [f"--set={name}={value}" for name, value in TUNING.items()]
        _run(server, "initdb", "-D", str(unfinished), *options, *([] if durable else ["--no-sync"]))
        single = ["--single", "-D", str(unfinished), *([] if durable else ["-F"]), "postgres"]
        _run(server, "postgres", *single, lines=FIRST_STATEMENTS)
        unfinished.rename(server.data)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _run(server: Postgres, program: str, *arguments: str, lines: str = "") -> None:
    done = subprocess.run(
        [str(server.programs / program), *arguments],
        input=lines,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=database_environment(),
        cwd=server.home,
        user=server.owner.uid if server.owner else None,
        group=server.owner.gid if server.owner else None,
        extra_groups=[] if server.owner else None,
        preexec_fn=die_with_parent(signal.SIGKILL),
        check=False,
    )
    failed = done.returncode != 0 or "ERROR:" in done.stdout or "FATAL:" in done.stdout
    if failed and "No space left on device" in done.stdout:
        raise disk_full(server.home)
    if failed:
        last = "\n".join(done.stdout.strip().splitlines()[-8:])
        raise ExpectedError(
            f"Cannot make the database: {program} ended with exit code {done.returncode}.\n{last}"
        )
