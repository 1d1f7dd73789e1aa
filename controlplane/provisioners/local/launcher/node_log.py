"""The log of a node: the newest file and the one before it, each at most 32 MiB.

The launcher reads the node's output from a pipe and writes the files, so no program can exceed the limit.
"""

import os
import time
from collections.abc import Callable, Generator, Iterator

NAME = "log"
OLDER = "log.1"
FILE_BYTES = 32 * 1024 * 1024
_CHUNK = 64 * 1024


class LogWriter:
    """Copies the output of a node from a pipe to its log. sink: the node's end of the pipe, its stdout and stderr.

    open: False once every process of the node has closed its end. lost: bytes that the disk refused since the last
    successful write.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.source, self.sink = os.pipe()
        os.set_blocking(self.source, False)
        self.file = self._open()
        self.size = os.fstat(self.file).st_size
        self.lost = 0
        self.open = True

    def pump(self) -> bool:
        """Copy one chunk. Returns False when there is none now."""
        try:
            chunk = os.read(self.source, _CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            self.open = False
            return False
        self.write(chunk)
        return True

    def copy_rest(self) -> None:
        while self.open and self.pump():
            pass

    def close_sink(self) -> None:
        """Close the launcher's copy of the sink, once the node has its own; without this the pipe would never end."""
        os.close(self.sink)

    def write(self, chunk: bytes) -> None:
        try:
            if self.size + len(chunk) > FILE_BYTES:
                os.replace(os.path.join(self.folder, NAME), os.path.join(self.folder, OLDER))
                os.close(self.file)
                self.file, self.size = self._open(), 0
            if self.lost:
                chunk = b"\n[%d bytes were lost: the disk was full]\n" % self.lost + chunk
            os.write(self.file, chunk)
        except OSError:
            # A full disk must not stop the node. The log says later how much is missing, and where.
            self.lost += len(chunk)
            return
        self.size, self.lost = self.size + len(chunk), 0

    def _open(self) -> int:
        return os.open(os.path.join(self.folder, NAME), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def tail(folder: str, size: int) -> bytes:
    """The last `size` bytes of the log in `folder`, across both files."""
    newest = _end_of_file(os.path.join(folder, NAME), size)
    missing = size - len(newest)
    return (_end_of_file(os.path.join(folder, OLDER), missing) if missing > 0 else b"") + newest


def last_lines(folder: str, *, name: str = NAME, count: int = 5, size: int = 1000) -> str:
    """The last `count` lines among the last `size` bytes of one file."""
    lines = _end_of_file(os.path.join(folder, name), size).decode(errors="replace").splitlines()
    return "\n".join(lines[-count:])


def follow(folder: str, ended: Callable[[], bool], pause: float = 0.3) -> Iterator[bytes]:
    """What is written from now on, until `ended` returns True; b"" at least every `pause` seconds."""
    path = os.path.join(folder, NAME)
    opened = yield from _wait_for_file(path, ended, pause)
    if opened is None:
        return
    os.lseek(opened, 0, os.SEEK_END)
    try:
        while True:
            # Checked before the rest is read, so that the last bytes are not missed.
            over = ended()
            yield from _rest(opened)
            if (newer := _rotated(path, opened)) is not None:
                yield from _rest(opened)
                os.close(opened)
                opened = newer
                continue
            if over:
                return
            yield b""
            time.sleep(pause)
    finally:
        os.close(opened)


def _wait_for_file(path: str, ended: Callable[[], bool], pause: float) -> Generator[bytes, None, int | None]:
    while True:
        try:
            return os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            if ended():
                return None
        yield b""
        time.sleep(pause)


def _rest(opened: int) -> Iterator[bytes]:
    while chunk := os.read(opened, _CHUNK):
        yield chunk


def _rotated(path: str, opened: int) -> int | None:
    """The new file at `path`, opened, when it is another one than `opened`; else None."""
    try:
        if os.stat(path).st_ino == os.fstat(opened).st_ino:
            return None
        return os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None


def _end_of_file(path: str, size: int) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - size))
            return file.read(size)
    except FileNotFoundError:
        return b""
