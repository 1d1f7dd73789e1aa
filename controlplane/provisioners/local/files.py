"""Files that are whole or not there at all, for their owner alone. Standard library only: launchers use it."""

import json
import os
from typing import Any

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600


def make_folder(path: str) -> str:
    """Make `path` and what is missing above it, each for its owner alone."""
    if not os.path.isdir(path):
        make_folder(os.path.dirname(path))
        try:
            os.mkdir(path, PRIVATE_FOLDER)
        except FileExistsError:
            if not os.path.isdir(path):
                raise
    return path


def write(path: str, content: bytes, *, mode: int = PRIVATE_FILE, durable: bool = False) -> None:
    """Put `content` at `path`: a reader sees the old or the new. durable: survives a power cut, too."""
    draft = f"{path}.{os.urandom(4).hex()}.new"
    opened = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(opened, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
    if durable:
        sync_folder(os.path.dirname(path))


def open_private(path: str, flags: int) -> int:
    """An opener for `open`: what it makes is for its owner alone."""
    return os.open(path, flags, PRIVATE_FILE)


def sync_folder(path: str) -> None:
    opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def write_json(path: str, value: object, *, durable: bool = False) -> None:
    write(path, json.dumps(value).encode(), durable=durable)


def read_json(path: str) -> dict[str, Any]:
    """The object at `path`. Raises ValueError when it is none, OSError when it cannot be read."""
    with open(path, "rb") as file:
        value = json.loads(file.read())
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - one kind of error for all that is unreadable
    return value


def read_text(path: str) -> str:
    """The text at `path`, or "" when there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""
