"""The embedded PostgreSQL: one server for one data directory, on a Unix socket that only we can reach."""

import hashlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg2

from controlplane.standalone.database.binaries import MAJOR, program_folder
from controlplane.standalone.installation.errors import ExpectedError, disk_full, plain_file_errors
from controlplane.standalone.installation.files import make_folder
from controlplane.standalone.installation.owner import Owner
from controlplane.standalone.supervise.command import Command, die_with_parent

ROLE = "slipway"
DATABASE = "slipway"
# sun_path holds 108 bytes with its closing zero; the server appends the name of the socket.
LONGEST_SOCKET_FOLDER = 107 - len("/.s.PGSQL.5432")
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._~ -]+")
# Written into postgresql.conf once, for a small machine; whoever runs it may change them there.
TUNING = {
    "shared_buffers": "64MB",
    "max_connections": "200",
    "max_wal_size": "256MB",
    "checkpoint_timeout": "15min",
    # Each of these is a process, or memory of one, that an installation of this size has no use for.
    "io_method": "sync",
    "max_logical_replication_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "log_checkpoints": "off",
}
# A single-user server takes one statement a line.
FIRST_STATEMENTS = f"CREATE ROLE {ROLE} LOGIN CREATEDB;\nCREATE DATABASE {DATABASE} OWNER {ROLE};\n"
# The eighth line of postmaster.pid says how far the server is.
STATUS_LINE = 7
STRAY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Postgres:
    home: Path
    """Ours: configuration, and the folders below. PostgreSQL's user may pass through it, not write in it."""
    owner: Owner | None
    programs: Path
    sockets: Path
    settings: Mapping[str, str]
    """Settings for this start alone, above those of postgresql.conf."""

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def url(self) -> str:
        return f"postgresql://{ROLE}@{quote(str(self.sockets), safe='')}/{DATABASE}"

    @property
    def command(self) -> Command:
        """The server in the foreground. Losing its parent makes it shut down, fast and clean."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.sockets),
            "unix_socket_permissions": "0700",
            "hba_file": str(self.home / "pg_hba.conf"),
            "ident_file": str(self.home / "pg_ident.conf"),
            **self.settings,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        argv = [str(self.programs / "postgres"), "-D", str(self.data), *options]
        return Command(argv, _environment(), self.data, owner=self.owner, death_signal=signal.SIGINT)

    def answers(self, seconds: int = 2) -> bool:
        """Whether a real query is answered within this time."""
        # libpq takes no less than two seconds.
        try:
            connection = psycopg2.connect(self.url, connect_timeout=max(seconds, 2))
        except psycopg2.OperationalError:
            return False
        with closing(connection), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return True

    def is_ready(self, pid: int) -> bool:
        """Whether the server with this process id takes connections."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > STATUS_LINE and lines[0] == str(pid) and lines[STATUS_LINE].strip() == "ready"


def server_in(home: Path, *, owner: Owner | None) -> Postgres:
    """The server whose data is below `home`, to be asked and not to be started."""
    return Postgres(home, owner, home, _socket_folder(home, owner), {})


def prepare_postgres(
    home: Path, *, owner: Owner | None, settings: Mapping[str, str] | None = None, durable: bool = True
) -> Postgres:
    """Make what the server needs below `home`; what exists is kept. Safe to repeat after any interruption.

    Not `durable` is for tests: nothing is flushed to the disk.
    """
    with plain_file_errors(home):
        make_folder(home, mode=0o711 if owner else 0o700)
        if owner and not owner.may_enter(home):
            raise ExpectedError(
                f"PostgreSQL's user {owner.name} cannot reach {home}: choose a --data-dir below folders that "
                "others may pass through, such as the default one."
            )
        major = _major(home / "data")
        server = Postgres(
            home, owner, program_folder(major, owner), _socket_folder(home, owner), settings or {}
        )
        _write_access_rules(server)
        _end_strays(server)
        for leftover in home.glob("unfinished-*"):
            shutil.rmtree(leftover)
        if not server.data.exists():
            _make_data(server, durable=durable)
    return server


def _major(data: Path) -> int:
    version = data / "PG_VERSION"
    return int(version.read_text()) if version.exists() else MAJOR


def _environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _socket_folder(home: Path, owner: Owner | None) -> Path:
    """`home`/sockets, or a folder with a short and plain name where that cannot be the address of a socket.

    libpq and the server read a comma as the end of a path, and the address stands in a URL.
    """
    folder = home / "sockets"
    if len(os.fsencode(folder)) > LONGEST_SOCKET_FOLDER or not PLAIN_PATH.fullmatch(str(folder)):
        folder = _runtime_folder() / f"slipway-{hashlib.sha256(os.fsencode(home)).hexdigest()[:12]}"
    folder.mkdir(mode=0o700, exist_ok=True)
    expected = owner.uid if owner else os.geteuid()
    if folder.is_symlink() or folder.stat().st_uid not in {os.geteuid(), expected}:
        raise ExpectedError(f"{folder} belongs to somebody else: remove it and start again.")
    folder.chmod(0o700)
    if owner:
        os.chown(folder, owner.uid, owner.gid)
    return folder


def _runtime_folder() -> Path:
    if os.geteuid() == 0:
        return Path("/run")
    own = Path(os.environ.get("XDG_RUNTIME_DIR") or "/nonexistent")
    return (
        own
        if own.is_dir()
        and len(os.fsencode(own)) < LONGEST_SOCKET_FOLDER // 2
        and PLAIN_PATH.fullmatch(str(own))
        else Path("/tmp")  # noqa: S108 - a folder of our own in it, refused when another user made it
    )


def _write_access_rules(server: Postgres) -> None:
    """Peer authentication: the kernel says who asks, and only the user that we run as is let in."""
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
        # The password database only: the environment could claim anything.
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
        env=_environment(),
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
            f"The database could not be made: {program} ended with {done.returncode}.\n{last}"
        )


def clear_way(server: Postgres) -> None:
    """End what a server that was killed left behind, and see that its stale files do not block the next start.

    The caller holds the data directory, and no server of ours runs on it.
    """
    _end_strays(server)
    _forget_foreign_pid(server)


def _end_strays(server: Postgres) -> None:
    """End every PostgreSQL process that works below our folder, and wait until they are gone.

    A backend that is stopped does not notice that its postmaster is gone, and keeps the shared memory. The bootstrap
    of a killed initdb goes on writing.
    """
    deadline = time.monotonic() + STRAY_SECONDS
    while strays := [process for process in Path("/proc").glob("[0-9]*") if _is_stray(process, server)]:
        if time.monotonic() > deadline:
            raise ExpectedError(f"Processes of an earlier PostgreSQL in {server.home} do not end: {strays}.")
        for process in strays:
            with suppress(ProcessLookupError):
                os.kill(int(process.name), signal.SIGKILL)
        time.sleep(0.01)


def _is_stray(process: Path, server: Postgres) -> bool:
    try:
        program, folder = os.readlink(process / "exe"), Path(os.readlink(process / "cwd"))
    except OSError:
        # It is gone, maybe just now, or another user's.
        return False
    ours = {str((server.programs / name).resolve()) for name in ("postgres", "initdb")}
    return program in ours and folder.is_relative_to(server.home.resolve())


def _forget_foreign_pid(server: Postgres) -> None:
    """Keep a stale postmaster.pid, whose number another process has by now, from blocking the start.

    The server takes a living process of its own user with that number for a server still running. It does not
    when the number is its parent's, and goes on to what tells the truth: whether old shared memory is in use.
    """
    try:
        # The folder is PostgreSQL's user's: what it might make a link of must not be followed by root.
        file = os.open(server.data / "postmaster.pid", os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    with os.fdopen(file, "r+") as lines:
        first, _, rest = lines.read().partition("\n")
        if _works_in(first, server.data):
            return
        lines.seek(0)
        lines.write(f"{os.getpid()}\n{rest}")
        lines.truncate()


def _works_in(pid: str, folder: Path) -> bool:
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd")) == folder.resolve()
    except OSError:
        # It is gone, maybe just now, or another user's.
        return False
