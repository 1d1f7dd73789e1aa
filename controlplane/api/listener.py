"""The LISTEN connection of this process, which all requests that wait for operations share."""

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
    """Sets an event when an operation has ended. Belongs to one event loop.

    A notification may be lost, or come without a change: those who wait read again, and also do so from time to time.
    """

    def __init__(self) -> None:
        self._waiters: dict[str, set[asyncio.Event]] = {}
        self._connection: Any = None
        # Kept here, because a lost connection does not know its socket any more.
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
        """Connect if necessary. Returns False while the database cannot be reached."""
        async with self._connecting:
            if self._connection is None:
                loop = asyncio.get_running_loop()
                try:
                    self._connection = await loop.run_in_executor(None, _connect)
                except psycopg2.Error as error:
                    log.warning("cannot_listen", error=str(error).strip()[:200])
                    return False
                self._socket = self._connection.fileno()
                loop.add_reader(self._socket, self._read_notifications)
        return True

    def close(self) -> None:
        if self._connection is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._connection.close()
            self._connection = None

    def _read_notifications(self) -> None:
        try:
            self._connection.poll()
        except psycopg2.Error as error:
            log.warning("listening_lost", error=str(error).strip()[:200])
            # Notifications may have been lost: all waiters read again.
            self.close()
            for waiters in self._waiters.values():
                self._wake(waiters)
            return
        for notification in self._connection.notifies:
            self._wake(self._waiters.get(notification.payload, set()))
        self._connection.notifies.clear()

    def _wake(self, waiters: set[asyncio.Event]) -> None:
        for changed in waiters:
            changed.set()


def _connect() -> Any:
    connection = psycopg2.connect(**connections["default"].get_connection_params())
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {OPERATION_CHANNEL}")
    return connection
