"""Files of the data directory, see `controlplane.system.files`."""

from pathlib import Path

from controlplane.system.files import make_folder, write

__all__ = ["make_folder", "write_private"]


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read; after a crash it has its old content or the new one."""
    write(path, text.encode(), durable=True)
