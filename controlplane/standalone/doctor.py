"""`doctor`: each part that Slipway stands on, whether it is there and safe, and what to do where it is not."""

import json
import os
import platform
import shutil
import socket
import stat
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import psycopg2
from rich.console import Console
from rich.table import Table

from controlplane.provisioners.base import Permanent, Temporary
from controlplane.provisioners.kubernetes.client import reach
from controlplane.provisioners.kubernetes.settings import Reach, SettingsInvalid
from controlplane.provisioners.local.files import read_text
from controlplane.provisioners.local.install import PACKAGES_MARKER
from controlplane.provisioners.local.java import find_java
from controlplane.provisioners.local.layout import Layout
from controlplane.provisioners.local.runtimes import NOTICE
from controlplane.standalone.binaries import MAJOR, program_folder
from controlplane.standalone.errors import ExpectedError
from controlplane.standalone.lock import Running, running_in
from controlplane.standalone.owner import known_owner
from controlplane.standalone.ports import DEFAULT_PORT, HOST, port_check

Status = Literal["ok", "missing", "unsafe"]
SECONDS = 3
OLDEST_PYTHON = (3, 11)
OLDEST_POSTGRES = 14
OLDEST_JAVA = 17
MIB = 2**20
# The apps' own packages and Java for them, with some room for clusters.
COMFORTABLE_MIB = 3000
LEAST_MIB = 200
COLOURS = {"ok": "green", "missing": "yellow", "unsafe": "red"}
LOOPBACK = {"", "localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    status: Status
    detail: str
    advice: str = ""
    needed: bool = True
    """Whether Slipway cannot run without it."""

    @property
    def hinders(self) -> bool:
        return self.status == "unsafe" or (self.status == "missing" and self.needed)


def examine(data_dir: Path, port: int | None = None) -> list[Part]:
    """Look at everything once. Changes nothing on this machine.

    port: where it is to serve; without one, where the installation runs now, or the port that `up` takes.
    """
    running = running_in(data_dir)
    looks: list[Callable[[], Part]] = [
        _python,
        _postgres,
        _java,
        lambda: _runtimes(data_dir),
        lambda: _disk(data_dir),
        lambda: _data_directory(data_dir),
        lambda: _installation(data_dir, running),
        lambda: _port(port, running),
        _kubernetes,
        _vault,
    ]
    return [look() for look in looks]


def as_json(parts: list[Part]) -> str:
    verdict = not any(part.hinders for part in parts)
    return json.dumps({"ok": verdict, "parts": [asdict(part) for part in parts]}, indent=2)


def show(parts: list[Part]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("part", "", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for part in parts:
        status = f"[{COLOURS[part.status]}]{part.status}[/]"
        table.add_row(part.name, status, part.detail, part.advice)
    # Where there is no terminal, wide enough for one line a part.
    Console(width=shutil.get_terminal_size((200, 24)).columns).print(table)


def _python() -> Part:
    found = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info < OLDEST_PYTHON:
        return Part("Python", "missing", found, "install Python 3.11 or newer")
    return Part("Python", "ok", found)


def _postgres() -> Part:
    url = os.environ.get("DATABASE_URL", "")
    if file := os.environ.get("DATABASE_URL_FILE"):
        try:
            url = Path(file).read_text().strip()
        except OSError as error:
            return Part("PostgreSQL", "missing", f"{file}: {error.strerror}", "correct DATABASE_URL_FILE")
    return _named_postgres(url) if url else _embedded_postgres()


def _named_postgres(url: str) -> Part:
    try:
        connection = psycopg2.connect(url, connect_timeout=SECONDS)
    except (psycopg2.Error, ValueError) as error:
        # Its first line only; never the address, which may hold a password.
        return Part(
            "PostgreSQL", "missing", str(error).partition("\n")[0], "start it, or correct DATABASE_URL"
        )
    version = connection.server_version // 10000
    connection.close()
    found = f"{version}, named by DATABASE_URL"
    if version < OLDEST_POSTGRES:
        return Part("PostgreSQL", "missing", found, f"use PostgreSQL {OLDEST_POSTGRES} or newer")
    if not _is_private(url):
        return Part(
            "PostgreSQL", "unsafe", f"{found}, unencrypted", "add ?sslmode=verify-full to DATABASE_URL"
        )
    return Part("PostgreSQL", "ok", found)


def _is_private(url: str) -> bool:
    """Whether nobody between us and the server can listen: this machine, or an encrypted connection."""
    parts = urlsplit(url)
    options = parse_qs(parts.query)
    host = options.get("host", [parts.hostname or ""])[0]
    local = host in LOOPBACK or host.startswith(("/", "%2f", "%2F", "127."))
    return local or options.get("sslmode", [""])[0] in {"require", "verify-ca", "verify-full"}


def _embedded_postgres() -> Part:
    try:
        owner = known_owner()
        program_folder(MAJOR, None)
    except ExpectedError as error:
        return Part("PostgreSQL", "missing", "none embedded", str(error))
    return Part("PostgreSQL", "ok", f"{MAJOR}, embedded" + (f", run as {owner}" if owner else ""))


def _java() -> Part:
    java = find_java(OLDEST_JAVA)
    if java is None:
        advice = "nothing: one comes with the packages of Spark (or install Java 17 and set JAVA_HOME)"
        return Part("Java", "missing", f"none of {OLDEST_JAVA} or newer", advice, needed=False)
    return Part("Java", "ok", f"{java.version} ({java.home})")


def _runtimes(data_dir: Path) -> Part:
    """What apps run in on this machine, and what their own last steps could not do."""
    found = sorted(Layout(data_dir / "sites" / "local").runtimes.glob(f"*/{PACKAGES_MARKER}"))
    notices = [
        f"{path.parent.name}: {told}" for path in found if (told := read_text(str(path.with_name(NOTICE))))
    ]
    if notices:
        advice = "wait for it, or see why and run: python3 manage.py runtimes fetch"
        return Part("runtimes", "missing", "; ".join(notices), advice, needed=False)
    return Part("runtimes", "ok", f"{len(found)} installed")


def _disk(data_dir: Path) -> Part:
    folder = next(each for each in (data_dir, *data_dir.absolute().parents) if each.exists())
    free = shutil.disk_usage(folder).free // MIB
    found = f"{free} MiB free in {folder}"
    if free < LEAST_MIB:
        return Part("disk", "missing", found, f"free some space: {LEAST_MIB} MiB are the least")
    if free < COMFORTABLE_MIB:
        advice = f"free some space: the packages of the apps need {COMFORTABLE_MIB} MiB"
        return Part("disk", "missing", found, advice, needed=False)
    return Part("disk", "ok", found)


def _data_directory(data_dir: Path) -> Part:
    if not data_dir.exists():
        return Part("data directory", "ok", f"{data_dir} will be made, private")
    exposed = [path for path in _private_files(data_dir) if stat.S_IMODE(path.stat().st_mode) & 0o077]
    if exposed:
        advice = f"chmod go= {' '.join(str(path) for path in exposed)}"
        return Part("data directory", "unsafe", "others may open what is secret", advice)
    if data_dir.stat().st_mode & 0o022:
        return Part("data directory", "unsafe", f"others may write in {data_dir}", f"chmod go-w {data_dir}")
    return Part("data directory", "ok", str(data_dir))


def _private_files(data_dir: Path) -> list[Path]:
    names = (
        "keys",
        "keys/secret",
        "keys/installation",
        "keys/metrics",
        "admin-token",
        "admin-password",
        "logs",
        "run",
    )
    try:
        return [path for path in map(data_dir.joinpath, names) if path.exists()]
    except PermissionError:
        # Whoever cannot look in is not the one it belongs to.
        return []


def _installation(data_dir: Path, running: Running | None) -> Part:
    if running:
        return Part("installation", "ok", f"{data_dir} runs at {running.url} since {running.since}")
    if _exists(data_dir / ".slipway"):
        return Part("installation", "ok", f"{data_dir} is stopped")
    return Part("installation", "ok", f"none in {data_dir} yet; `up` makes it")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return False


def _port(port: int | None, running: Running | None) -> Part:
    if running and port in {None, running.port}:
        return Part("port", "ok", f"{running.port}, where Slipway runs now")
    wanted = port or DEFAULT_PORT
    try:
        port_check(wanted)
    except ExpectedError as error:
        return Part("port", "missing", f"{wanted} is not free", str(error))
    return Part("port", "ok", f"{wanted} is free on {HOST}")


def _kubernetes() -> Part:
    file = os.environ.get("KUBECONFIG", "")
    if not file:
        return Part(
            "Kubernetes", "missing", "none", "for Kubernetes sites only: set KUBECONFIG", needed=False
        )
    try:
        reached = reach.by_kubeconfig(file)
        named = [Path(path) for path in file.split(os.pathsep) if path]
        exposed = [path for path in named if path.exists() and path.stat().st_mode & 0o077]
    except SettingsInvalid as error:
        return Part("Kubernetes", "missing", str(error), "correct KUBECONFIG")
    if exposed:
        return Part(
            "Kubernetes",
            "unsafe",
            f"others may read {exposed[0]}",
            f"chmod 600 {' '.join(map(str, exposed))}",
        )
    return _api_server(reached)


def _api_server(reached: dict[str, str]) -> Part:
    # Loading it takes as long as all else here together.
    from controlplane.provisioners.kubernetes.client.client import Client

    where = f"context {reached['context']}"
    try:
        version = Client(Reach.parse(reached, "KUBECONFIG"), purpose="doctor").get("/version") or {}
    except (Temporary, Permanent) as error:
        return Part("Kubernetes", "missing", f"{where}: {error.message}", "start it, or correct KUBECONFIG")
    return Part("Kubernetes", "ok", f"{version.get('gitVersion', '?')}, {where}")


def _vault() -> Part:
    address = os.environ.get("VAULT_ADDR", "")
    if not address:
        return Part("Vault", "missing", "none", "for data credentials only: set VAULT_ADDR", needed=False)
    parts = urlsplit(address)
    host = parts.hostname or ""
    if parts.scheme != "https" and host not in LOOPBACK and not host.startswith("127."):
        return Part("Vault", "unsafe", f"{address} is not encrypted", "use an https address")
    try:
        socket.create_connection((host, parts.port or 8200), SECONDS).close()
    except (OSError, ValueError) as error:
        return Part("Vault", "missing", f"{address}: {error}", "start it, or correct VAULT_ADDR")
    return Part("Vault", "ok", address)
