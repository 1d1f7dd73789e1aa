"""Makes the packages of a runtime read-only, and detects when they were changed all the same.

All clusters share a runtime. Its seal is a digest of the path, size and time of change of each file. Compiled files
are left out, because Python adds some whenever it runs.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_SEALED = ("bin", "lib")
_WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def protect(home: Path) -> str:
    """Make the packages of a finished runtime read-only. Returns its seal."""
    for path in _paths(home):
        _set_mode(path, path.stat().st_mode & ~_WRITE)
    return seal(home)


def unprotect(home: Path) -> None:
    """Let the owner delete the runtime. Idempotent."""
    for path in _paths(home):
        _set_mode(path, path.stat().st_mode | stat.S_IWUSR)


def seal(home: Path) -> str:
    """Returns 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for folder in _SEALED:
        for line in sorted(_lines(str(home / folder), len(str(home)))):
            digest.update(line)
    return digest.hexdigest()


def _lines(folder: str, prefix: int) -> Iterator[bytes]:
    """One line per file. prefix: how many characters of each path to leave out."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    yield from _lines(entry.path, prefix)
            elif not entry.name.endswith(".pyc"):
                found = entry.stat(follow_symlinks=False)
                yield os.fsencode(f"{entry.path[prefix:]} {found.st_size} {found.st_mtime_ns}\n")


def _paths(home: Path) -> Iterator[Path]:
    """Folders before what is in them; no symbolic links."""
    for top in _SEALED:
        for folder, _, names in os.walk(home / top):
            yield Path(folder)
            yield from (path for name in names if not (path := Path(folder, name)).is_symlink())


def _set_mode(path: Path, mode: int) -> None:
    path.chmod(stat.S_IMODE(mode))
