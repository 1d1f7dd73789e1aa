"""The data directory: all files of one installation of `up` on this machine."""

import json
import os
import uuid
from dataclasses import dataclass
from pathlib import Path

from controlplane.standalone.installation.errors import ExpectedError, plain_file_errors
from controlplane.standalone.installation.files import make_folder, write_private
from controlplane.standalone.installation.owner import Owner

# The databases of data directories that PostgreSQL's user cannot reach.
SEPARATE_DATABASES = Path("/var/lib/slipway/databases")
LAYOUT = 1
UNUSABLE = frozenset(":,\\[]{}*?")


@dataclass(frozen=True, slots=True)
class DataDir:
    root: Path
    id: str

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """Process ids of Slipway's own processes, the lock, the gate and the heartbeat."""
        return self.root / "run"

    @property
    def admin_password(self) -> Path:
        return self.root / "admin-password"

    @property
    def admin_token(self) -> Path:
        return self.root / "admin-token"

    def database_home(self, owner: Owner | None) -> Path:
        """Returns the folder of PostgreSQL: in the data directory, or in /var/lib/slipway where `owner` cannot enter.

        A database that exists in one of the two stays there.
        """
        usual = self.root / "postgres"
        separate = SEPARATE_DATABASES / self.id
        if owner is None or (usual / "data").exists():
            return usual
        return separate if separate.exists() or not owner.may_enter(self.root) else usual

    def has_database(self) -> bool:
        return any(
            (home / "data").exists() for home in (self.root / "postgres", SEPARATE_DATABASES / self.id)
        )


def default_root() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/slipway/data")
    return Path.home() / ".local" / "share" / "slipway"


def open_data_dir(root: Path) -> DataDir:
    """Open the data directory, and make it when it does not exist. Raises ExpectedError for a folder of other files.

    Its folders are private (0700). For root, others may pass through the directory itself but not list it (0711),
    because PostgreSQL's user has to reach its own folder.
    """
    root = root.absolute()
    _require_usable(root)
    with plain_file_errors(root):
        marker = root / ".slipway"
        if root.exists() and not root.is_dir():
            raise ExpectedError(f"{root} is not a folder: choose another with --data-dir.")
        if not marker.exists():
            _claim(root, marker)
        mode = 0o711 if os.geteuid() == 0 else 0o700
        if root.stat().st_mode & 0o777 != mode:
            root.chmod(mode)
        opened = DataDir(root, _read_id(marker))
        for folder in (opened.keys, opened.logs, opened.run):
            folder.mkdir(mode=0o700, exist_ok=True)
    return opened


def _require_usable(root: Path) -> None:
    """Refuse characters that break the programs of the apps.

    Search paths are split at colons and Spark's lists of files at commas; Hadoop reads paths as patterns.
    """
    path = str(root)
    found = next((letter for letter in path if letter in UNUSABLE or not letter.isprintable()), None)
    if found is not None:
        raise ExpectedError(
            f"{path if path.isprintable() else ascii(path)} cannot be a data directory: programs of the apps cannot "
            f"use a path with {found if found.isprintable() else ascii(found)} in it. Choose another with --data-dir."
        )


def _claim(root: Path, marker: Path) -> None:
    # New parents get the same mode: for root, PostgreSQL's user has to pass through them.
    make_folder(root, mode=0o711 if os.geteuid() == 0 else 0o700)
    # A mounted file system contains lost+found. The others are ours, from an interrupted attempt.
    foreign = [
        entry
        for entry in root.iterdir()
        if entry.name not in {"lost+found", ".slipway"} and not entry.match(".slipway.*.new")
    ]
    if foreign:
        raise ExpectedError(
            f"{root} is not empty and is not a data directory of Slipway: "
            "choose an empty or new folder with --data-dir."
        )
    write_private(marker, json.dumps({"layout": LAYOUT, "id": str(uuid.uuid4())}))


def _read_id(marker: Path) -> str:
    try:
        content = json.loads(marker.read_text())
        layout, found = int(content["layout"]), str(uuid.UUID(content["id"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ExpectedError(
            f"{marker} is damaged: restore it from a backup of the data directory."
        ) from error
    if layout > LAYOUT:
        raise ExpectedError(f"{marker.parent} was made by a newer release of Slipway: run that one.")
    return found
