"""Removing folders: out of sight at once, off the disk in the background."""

import os
import subprocess
from pathlib import Path

from controlplane.provisioners.local import files
from controlplane.provisioners.local.layout import Layout

# The shell leaves at once; what it started is nobody's child, and follows no link. Folders that their user has made
# read-only are opened first.
_DELETE = '{ rm -rf -- "$1"/* || { chmod -R u+rwX -- "$1"/*; rm -rf -- "$1"/*; }; } >/dev/null 2>&1 &'


def throw_away(layout: Layout, path: Path) -> None:
    """`path` is gone when this returns; what it held follows. Nothing happens when it is not there."""
    files.make_folder(str(layout.trash))
    try:
        path.rename(layout.trash / os.urandom(8).hex())
    except FileNotFoundError:
        return


def empty(layout: Layout) -> None:
    """Delete what was thrown away, in a process of its own that nobody waits for."""
    if not (layout.trash.is_dir() and any(layout.trash.iterdir())):
        return
    subprocess.run(
        ["/bin/sh", "-c", _DELETE, "sh", str(layout.trash)],
        stdin=subprocess.DEVNULL,
        check=True,
        start_new_session=True,
        timeout=4,
    )
