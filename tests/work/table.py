"""Helpers for tests of the work table: rows, leases that expire, threads with their own connections."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from controlplane.work.claim import claim
from controlplane.work.loop import Handler, Loop
from controlplane.work.models import Kind
from controlplane.work.wake import wake
from tenants.ids import new_id

KINDS = [Kind.CLUSTER.value]
SECONDS = 10.0


@dataclass(frozen=True)
class Row:
    """due: a pass should run now, whether or not the row is leased."""

    due: bool
    leased: bool
    fence: int
    attempts: int


def row(key: UUID) -> Row:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(due_at <= clock_timestamp(), false),"
            " coalesce(lease_until > clock_timestamp(), false), fence, attempts FROM work_work WHERE key = %s",
            [key],
        )
        return Row(*cursor.fetchone())


def due_in(key: UUID) -> float | None:
    """Seconds until the row is due; None when it is settled."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM due_at - clock_timestamp()) FROM work_work WHERE key = %s", [key]
        )
        [seconds] = cursor.fetchone()
    return None if seconds is None else float(seconds)


def woken(tenant_id: UUID | None = None) -> UUID:
    """The key of a new row that is due."""
    key = new_id()
    wake(Kind.CLUSTER, key, tenant_id=tenant_id)
    return key


def claimed_keys() -> list[UUID]:
    """Claim until nothing is due. Returns the keys in the order of the claims."""
    keys = []
    while found := claim(KINDS):
        keys.append(found.key)
    return keys


def expire_leases() -> None:
    """Expire all leases."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE work_work SET lease_until = clock_timestamp() - interval '1 second'"
            " WHERE lease_until IS NOT NULL"
        )


def clear() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM work_work")


def eventually(condition: Callable[[], object], seconds: float = SECONDS) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def on_own_connection(work: Callable[[], object]) -> threading.Thread:
    """Run the call in a thread that closes its connection at the end."""

    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@contextmanager
def running(
    handler: Handler | Mapping[str, Handler],
    *,
    threads: int = 2,
    on_sweep: Callable[[], None] = lambda: None,
) -> Iterator[Loop]:
    """Run a loop in a thread until the end of the block."""
    handlers = handler if isinstance(handler, Mapping) else dict.fromkeys(KINDS, handler)
    loop = Loop(handlers, threads=threads, on_sweep=on_sweep)
    thread = on_own_connection(loop.run)
    try:
        yield loop
    finally:
        loop.stop()
        thread.join(SECONDS)
        assert not thread.is_alive()
