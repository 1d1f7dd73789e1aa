"""Metrics of the other processes of one machine: each offers its own on a socket, and web reads them at a scrape."""

import fcntl
import os
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from prometheus_client import REGISTRY, generate_latest

log = structlog.get_logger(__name__)

SUFFIX = ".metrics"
TIMEOUT_SECONDS = 1.0
# Of one process. Its labels are bounded, so it stays far below.
MAX_BYTES = 4 * 1024 * 1024
MAX_WORKERS = 16


class _Reply(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.settimeout(TIMEOUT_SECONDS)
        self.request.sendall(generate_latest(REGISTRY))


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        log.info("metrics_reader_left", exc_info=True)


@dataclass(frozen=True, slots=True)
class Offer:
    """A name that belongs to this process until `close`, or until the process ends in any way."""

    name: str
    _server: _Server
    _lock: int

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        os.close(self._lock)


def offer(folder: Path, name: str) -> Offer:
    """Answer readers in a thread. A second process of this name becomes name-2. Raises OSError."""
    for number in range(1, MAX_WORKERS + 1):
        unique = name if number == 1 else f"{name}-{number}"
        lock = os.open(folder / f"{unique}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        # The lock was free, so the process that left this socket has ended.
        (folder / f"{unique}{SUFFIX}").unlink(missing_ok=True)
        with _short(folder) as short:
            server = _Server(f"{short}/{unique}{SUFFIX}", _Reply)
        threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
        return Offer(unique, server, lock)
    raise OSError(f"{MAX_WORKERS} processes named {name} offer their metrics already")


def read_all(folder: Path) -> Iterator[tuple[str, str | None]]:
    """(process, its metrics as Prometheus text). None: the process does not answer."""
    for path in sorted(folder.glob(f"*{SUFFIX}"))[:MAX_WORKERS]:
        yield path.stem, _read(folder, path.name)


def _read(folder: Path, name: str) -> str | None:
    parts, size = [], 0
    try:
        with _short(folder) as short, socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT_SECONDS)
            connection.connect(f"{short}/{name}")
            while size <= MAX_BYTES and (part := connection.recv(65536)):
                parts.append(part)
                size += len(part)
    except OSError:
        return None
    text = b"".join(parts).decode(errors="replace")
    return text if size <= MAX_BYTES and text.endswith("\n") else None


@contextmanager
def _short(folder: Path) -> Iterator[str]:
    """A short name of the folder, because the address of a socket has room for 107 bytes."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{number}"
    finally:
        os.close(number)
