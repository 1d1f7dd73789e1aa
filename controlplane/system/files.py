"""Files that a reader sees whole or not at all, and folders; all for their owner alone unless a mode is given.

Standard library only: launchers of local nodes use it.
"""

import json
import os
from typing import Any

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600

AnyPath = str | os.PathLike[str]


def make_folder(path: AnyPath, *, mode: int = PRIVATE_FOLDER) -> str:
    """Make `path` and its missing parents with this mode, whatever the umask. A folder that exists keeps its mode.

    Returns the path as text.
    """
    path = os.fspath(path)
    if not os.path.isdir(path):
        make_folder(os.path.dirname(path) or ".", mode=mode)
        try:
            os.mkdir(path, PRIVATE_FOLDER)
        except FileExistsError:
            if not os.path.isdir(path):
                raise
        else:
            os.chmod(path, mode)
    return path


def write(path: AnyPath, content: bytes, *, mode: int = PRIVATE_FILE, durable: bool = False) -> None:
    """Replace the content of `path`: a reader sees the old one or the new one, never a part.

    durable: the new content is on disk when this returns, so that it survives a power cut.
    """
    draft = f"{os.fspath(path)}.{os.urandom(4).hex()}.new"
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
        folder = os.open(os.path.dirname(draft) or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def open_private(path: str, flags: int) -> int:
    """An opener for the built-in `open`: a file that it creates is for its owner alone."""
    return os.open(path, flags, PRIVATE_FILE)


def write_json(path: AnyPath, value: object, *, durable: bool = False) -> None:
    write(path, json.dumps(value).encode(), durable=durable)


def read_json(path: AnyPath) -> dict[str, Any]:
    """The JSON object at `path`. Raises ValueError when it holds something else, OSError when it is unreadable."""
    with open(path, "rb") as file:
        value = json.loads(file.read())
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - callers handle one error for all unusable content
    return value


def read_text(path: AnyPath) -> str:
    """The text at `path`, or "" when there is no such file."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""
