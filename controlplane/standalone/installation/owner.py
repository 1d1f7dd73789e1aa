"""The unprivileged user that runs PostgreSQL when we are root: PostgreSQL refuses to run as root."""

import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from controlplane.standalone.installation.errors import ExpectedError

OWNER_NAME = "slipway-db"
# The usual owner of a packaged PostgreSQL. It is the second choice, because its other processes can read our files.
FALLBACK_NAME = "postgres"


@dataclass(frozen=True, slots=True)
class Owner:
    name: str
    uid: int
    gid: int

    def may_enter(self, folder: Path) -> bool:
        """Whether this user may pass through `folder` and every folder above it."""
        resolved = folder.resolve()
        return all(self._passes(part.stat()) for part in (resolved, *resolved.parents))

    def _passes(self, folder: os.stat_result) -> bool:
        if folder.st_uid == self.uid:
            return bool(folder.st_mode & stat.S_IXUSR)
        if folder.st_gid == self.gid:
            return bool(folder.st_mode & stat.S_IXGRP)
        return bool(folder.st_mode & stat.S_IXOTH)


def database_owner() -> Owner | None:
    """Returns the user for PostgreSQL, and makes it when it does not exist. None when we are not root: our own user."""
    if os.geteuid() != 0:
        return None
    return _existing(OWNER_NAME) or _created() or _existing(FALLBACK_NAME) or _refuse()


def known_owner() -> str:
    """Returns the name of the user that PostgreSQL would run as, "" for our own. Makes no user."""
    if os.geteuid() != 0:
        return ""
    if _existing(OWNER_NAME) or shutil.which("useradd"):
        return OWNER_NAME
    return (_existing(FALLBACK_NAME) or _refuse()).name


def _existing(name: str) -> Owner | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return None if entry.pw_uid == 0 else Owner(name, entry.pw_uid, entry.pw_gid)


def _created() -> Owner | None:
    if not shutil.which("useradd"):
        return None
    options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    command = ["useradd", *options, "--shell", "/usr/sbin/nologin", OWNER_NAME]
    # The exit code is ignored: the lookup below is right too when two processes ran useradd at once.
    subprocess.run(command, check=False, capture_output=True)
    return _existing(OWNER_NAME)


def _refuse() -> Owner:
    raise ExpectedError(
        "PostgreSQL does not run as root, and this machine cannot make a user for it: run this as an ordinary user, "
        f"make a system user named {OWNER_NAME}, or point DATABASE_URL at a PostgreSQL of yours."
    )
