"""The embedded PostgreSQL: one server for one data directory, on a Unix socket that only our user can reach."""

import hashlib
import os
import re
import signal
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg2

from controlplane.standalone.installation.errors import ExpectedError
from controlplane.standalone.installation.owner import Owner
from controlplane.standalone.supervise.command import ProcessSpec

ROLE = "slipway"
DATABASE = "slipway"
# The address of a Unix socket has 108 bytes with its closing zero; the server appends the name of the socket.
LONGEST_SOCKET_FOLDER = 107 - len("/.s.PGSQL.5432")
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._~ -]+")
# The eighth line of postmaster.pid is the status of the server.
STATUS_LINE = 7


@dataclass(frozen=True, slots=True)
class Postgres:
    home: Path
    """The folder of configuration and data. PostgreSQL's user may pass through it, but not write in it."""
    owner: Owner | None
    programs: Path
    sockets: Path
    settings: Mapping[str, str]
    """Settings for this start only. They override postgresql.conf."""

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def url(self) -> str:
        return f"postgresql://{ROLE}@{quote(str(self.sockets), safe='')}/{DATABASE}"

    @property
    def command(self) -> ProcessSpec:
        """The server in the foreground. When its parent dies, it does a fast shutdown."""
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
        return ProcessSpec(
            argv, database_environment(), self.data, owner=self.owner, death_signal=signal.SIGINT
        )

    def answers(self, seconds: int = 2) -> bool:
        """Whether the server answers a query. seconds: the timeout of the connection, at least 2 for libpq."""
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
    """Returns the server of `home` for connections only: it knows no programs and cannot be started."""
    return Postgres(home, owner, home, socket_folder(home, owner), {})


def database_environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def socket_folder(home: Path, owner: Owner | None) -> Path:
    """Make and return `home`/sockets, or a folder with a short and plain name where that is unfit as an address.

    Some paths are too long. libpq and the server read a comma as the end of a path, and the address is part of a URL.
    """
    folder = home / "sockets"
    if len(os.fsencode(folder)) > LONGEST_SOCKET_FOLDER or not PLAIN_PATH.fullmatch(str(folder)):
        folder = _runtime_folder() / f"slipway-{hashlib.sha256(os.fsencode(home)).hexdigest()[:12]}"
    folder.mkdir(mode=0o700, exist_ok=True)
    expected = owner.uid if owner else os.geteuid()
    if folder.is_symlink() or folder.stat().st_uid not in {os.geteuid(), expected}:
        raise ExpectedError(f"{folder} belongs to another user: remove it and start again.")
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
