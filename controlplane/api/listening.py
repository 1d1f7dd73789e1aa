"""One LISTEN connection of this process, shared by everybody who waits for an operation."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import structlog
from django.db import connections

from controlplane.clusters.channels import OPERATION_CHANNEL

log = structlog.get_logger(__name__)


class Listener:
    """Tells waiters that their operation has ended. Belongs to one event loop.

    A notice may be missed or come for nothing: whoever is told reads again, and reads again now and then anyway.
    """

    def __init__(self) -> None:
        self._waiters: dict[str, set[asyncio.Event]] = {}
        self._connection: Any = None
        # Kept, because a lost connection does not know its own any more.
        self._socket = -1
        self._connecting = asyncio.Lock()

    @contextmanager
    def watch(self, operation: str) -> Iterator[asyncio.Event]:
        """An event that is set when the operation with this id has ended."""
        changed = asyncio.Event()
        self._waiters.setdefault(operation, set()).add(changed)
        try:
            yield changed
        finally:
            self._waiters[operation].discard(changed)
            if not self._waiters[operation]:
                del self._waiters[operation]

    async def listen(self) -> bool:
        """Make sure of the connection; False while the database cannot be reached."""
        async with self._connecting:
            if self._connection is None:
                loop = asyncio.get_running_loop()
                try:
                    self._connection = await loop.run_in_executor(None, _connect)
                except psycopg2.Error as error:
                    log.warning("cannot_listen", error=str(error).strip()[:200])
                    return False
                self._socket = self._connection.fileno()
                loop.add_reader(self._socket, self._hear)
        return True

    def close(self) -> None:
        if self._connection is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._connection.close()
            self._connection = None

    def _hear(self) -> None:
        try:
            self._connection.poll()
        except psycopg2.Error as error:
            log.warning("listening_lost", error=str(error).strip()[:200])
            self._lose()
            return
        for notice in self._connection.notifies:
            self._tell(self._waiters.get(notice.payload, set()))
        self._connection.notifies.clear()

    def _lose(self) -> None:
        """Notices may have been missed: everybody reads again."""
        self.close()
        for waiters in self._waiters.values():
            self._tell(waiters)

    def _tell(self, waiters: set[asyncio.Event]) -> None:
        for changed in waiters:
            changed.set()


def _connect() -> Any:
    connection = psycopg2.connect(**connections["default"].get_connection_params())
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {OPERATION_CHANNEL}")
    return connection
