"""A wake is a write: it survives every process and is never lost to a pass that runs meanwhile."""

from uuid import UUID

from django.db import connection

from controlplane.work.announce import announce
from controlplane.work.models import Kind


def waking(rows: str) -> str:
    """The statement that wakes what a SELECT or VALUES names: kind, key, tenant's id, when it is due. Many of them in
    the order of their keys, so that no two wait for each other.
    """
    return f"""
INSERT INTO work_work AS w (kind, key, tenant_id, due_at, fence, attempts, wake_seq)
SELECT r.*, 0, 0, 1 FROM ({rows}) r
ON CONFLICT (kind, key) DO UPDATE
   SET wake_seq = w.wake_seq + 1, attempts = 0, due_at = LEAST(w.due_at, excluded.due_at)
"""  # noqa: S608


_WAKE = waking("VALUES (%s, %s::uuid, %s::uuid, clock_timestamp() + %s * interval '1 second')")


def wake(kind: Kind, key: UUID, *, tenant_id: UUID | None = None, after: float = 0) -> None:
    """Make this due, in the caller's transaction; workers are told when it commits.

    after: seconds; a few hundredths let a burst of news be looked at once.
    """
    with connection.cursor() as cursor:
        cursor.execute(_WAKE, [kind, key, tenant_id, after])
    announce()


def forget(kind: Kind, key: UUID) -> None:
    """Nothing is left to look after."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM work_work WHERE kind = %s AND key = %s", [kind, key])
