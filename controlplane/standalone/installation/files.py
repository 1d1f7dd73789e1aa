"""Makes files and folders whose mode does not depend on the umask."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def make_folder(folder: Path, *, mode: int) -> None:
    """Make the folder and its missing parents with this mode; what exists stays as it is."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
        each.chmod(mode)


def write_private(path: Path, text: str) -> None:
    """Write a file that only we can read; after a crash it is there whole, or not at all."""
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    with _descriptor(unfinished) as file:
        os.write(file, text.encode())
        os.fsync(file)
    unfinished.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _descriptor(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        yield file
    finally:
        os.close(file)
