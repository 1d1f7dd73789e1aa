"""Checks PostgreSQL: the server of DATABASE_URL, or the embedded one."""

import os
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg2

from controlplane.standalone.database.binaries import MAJOR, program_folder
from controlplane.standalone.doctor.check_result import CheckResult
from controlplane.standalone.installation.errors import ExpectedError
from controlplane.standalone.installation.owner import known_owner

OLDEST_POSTGRES = 14
CONNECT_SECONDS = 3
LOOPBACK = {"", "localhost", "127.0.0.1", "::1"}


def check_postgres() -> CheckResult:
    url = os.environ.get("DATABASE_URL", "")
    if file := os.environ.get("DATABASE_URL_FILE"):
        try:
            url = Path(file).read_text().strip()
        except OSError as error:
            return CheckResult(
                "PostgreSQL", "missing", f"{file}: {error.strerror}", "correct DATABASE_URL_FILE"
            )
    return _external(url) if url else _embedded()


def _external(url: str) -> CheckResult:
    try:
        connection = psycopg2.connect(url, connect_timeout=CONNECT_SECONDS)
    except (psycopg2.Error, ValueError) as error:
        # The first line only. The URL is left out, because it may hold a password.
        detail = str(error).partition("\n")[0]
        return CheckResult("PostgreSQL", "missing", detail, "start it, or correct DATABASE_URL")
    version = connection.server_version // 10000
    connection.close()
    found = f"{version}, named by DATABASE_URL"
    if version < OLDEST_POSTGRES:
        return CheckResult("PostgreSQL", "missing", found, f"use PostgreSQL {OLDEST_POSTGRES} or newer")
    if not _is_private(url):
        advice = "add ?sslmode=verify-full to DATABASE_URL"
        return CheckResult("PostgreSQL", "unsafe", f"{found}, unencrypted", advice)
    return CheckResult("PostgreSQL", "ok", found)


def _is_private(url: str) -> bool:
    """Whether the server is on this machine or the connection is encrypted."""
    parts = urlsplit(url)
    options = parse_qs(parts.query)
    host = options.get("host", [parts.hostname or ""])[0]
    local = host in LOOPBACK or host.startswith(("/", "%2f", "%2F", "127."))
    return local or options.get("sslmode", [""])[0] in {"require", "verify-ca", "verify-full"}


def _embedded() -> CheckResult:
    try:
        owner = known_owner()
        program_folder(MAJOR, None)
    except ExpectedError as error:
        return CheckResult("PostgreSQL", "missing", "none embedded", str(error))
    return CheckResult("PostgreSQL", "ok", f"{MAJOR}, embedded" + (f", run as {owner}" if owner else ""))
