"""Deletes folders: a folder is renamed into the trash at once, and deleted from disk in the background."""

import os
import subprocess
from pathlib import Path

from controlplane.provisioners.local.layout import Layout
from controlplane.system import files

# The shell ends at once and leaves the deletion running; init reaps it. rm follows no links. Folders that a user has
# made read-only are made writable first.
_DELETE = '{ rm -rf -- "$1"/* || { chmod -R u+rwX -- "$1"/*; rm -rf -- "$1"/*; }; } >/dev/null 2>&1 &'


def throw_away(layout: Layout, path: Path) -> None:
    """Move `path` into the trash. Does nothing when it does not exist. `empty` frees its disk space."""
    files.make_folder(layout.trash)
    try:
        path.rename(layout.trash / os.urandom(8).hex())
    except FileNotFoundError:
        return


def empty(layout: Layout) -> None:
    """Start to delete the trash, and do not wait for it."""
    if not (layout.trash.is_dir() and any(layout.trash.iterdir())):
        return
    subprocess.run(
        ["/bin/sh", "-c", _DELETE, "sh", str(layout.trash)],
        stdin=subprocess.DEVNULL,
        check=True,
        start_new_session=True,
        timeout=4,
    )
