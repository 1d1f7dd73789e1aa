"""Leases on due work: taken with SKIP LOCKED by the database's clock, fairly among tenants, fenced."""

from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from controlplane.work.holder import holder

LEASE_SECONDS = 30
# A result is recorded only while this much of the lease is left, so that the commit falls inside it.
MARGIN_SECONDS = 3

_CLAIM = """
WITH flight AS (
    SELECT tenant_id, count(*) AS n FROM work_work WHERE lease_until > clock_timestamp() GROUP BY tenant_id
), next AS (
    SELECT w.id FROM work_work w LEFT JOIN flight f ON f.tenant_id = w.tenant_id
     WHERE w.due_at <= clock_timestamp() AND (w.lease_until IS NULL OR w.lease_until < clock_timestamp())
       AND w.kind = ANY(%s)
     ORDER BY coalesce(f.n, 0), w.due_at
     LIMIT 1 FOR UPDATE OF w SKIP LOCKED
), claimed AS (
    UPDATE work_work w
       SET lease_until = clock_timestamp() + %s * interval '1 second', holder = %s,
           fence = w.fence + 1, attempts = w.attempts + 1
      FROM next, (SELECT clock_timestamp() AS now) t WHERE w.id = next.id
    RETURNING w.id, w.kind, w.key, w.fence, w.wake_seq, w.attempts, extract(epoch FROM t.now - w.due_at)::float8
)
SELECT * FROM claimed
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL,
       extract(epoch FROM min(greatest(due_at, lease_until)) - clock_timestamp())::float8
  FROM work_work WHERE due_at IS NOT NULL AND kind = ANY(%s)
HAVING NOT EXISTS (SELECT FROM claimed)
"""

# wake_seq tells whether somebody woke this row during the pass: then it is due at once, whatever the pass says.
_RELEASE = """
UPDATE work_work
   SET lease_until = NULL, holder = '',
       attempts = CASE WHEN %(failed)s THEN attempts ELSE 0 END,
       due_at = CASE WHEN wake_seq = %(seen)s THEN clock_timestamp() + %(next)s * interval '1 second'
                     ELSE clock_timestamp() END
 WHERE id = %(id)s AND fence = %(fence)s
"""

_PROLONG = """
UPDATE work_work SET lease_until = clock_timestamp() + %s * interval '1 second'
 WHERE id = %s AND fence = %s AND lease_until > clock_timestamp()
"""

_HELD = """
SELECT 1 FROM work_work
 WHERE id = %s AND fence = %s AND lease_until > clock_timestamp() + %s * interval '1 second' FOR KEY SHARE
"""


class LostLease(Exception):  # noqa: N818
    """Somebody else may be at it: stop, record nothing."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A lease on one row. late: seconds it had been due; attempts: passes in a row that failed, this one counted."""

    id: int
    kind: str
    key: UUID
    fence: int
    wake_seq: int
    attempts: int
    late: float


def claim(kinds: list[str]) -> Claimed | None:
    """Lease the row that is next in fairness: its tenant has least in flight, then the one longest due."""
    found = claim_or_wait(kinds, at_most=0)
    return found if isinstance(found, Claimed) else None


def claim_or_wait(kinds: list[str], *, at_most: float) -> Claimed | float:
    """What `claim` leases, or how many seconds until something becomes due or a lease on due work runs out.

    0 = something is due, and locked.
    """
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [kinds, LEASE_SECONDS, holder(), kinds])
        row = cursor.fetchone()
    if row[0] is not None:
        return Claimed(*row)
    return at_most if row[6] is None else min(at_most, max(0.0, row[6]))


def release(claimed: Claimed, *, next_in: float | None, failed: bool = False) -> None:
    """Give the lease back. next_in: seconds until the next look; None = rest until woken."""
    with connection.cursor() as cursor:
        cursor.execute(
            _RELEASE,
            {
                "id": claimed.id,
                "fence": claimed.fence,
                "seen": claimed.wake_seq,
                "next": next_in,
                "failed": failed,
            },
        )


def prolong(claimed: Claimed, seconds: float) -> None:
    """Keep the lease for so long from now, for work that is one long call. Raises LostLease."""
    with connection.cursor() as cursor:
        cursor.execute(_PROLONG, [seconds, claimed.id, claimed.fence])
        if not cursor.rowcount:
            raise LostLease(f"{claimed.kind} {claimed.key}")


def require(claimed: Claimed) -> None:
    """First statement of every transaction that records a result. Raises LostLease.

    A key-share lock: it neither waits for a wake nor makes one wait.
    """
    with connection.cursor() as cursor:
        cursor.execute(_HELD, [claimed.id, claimed.fence, MARGIN_SECONDS])
        if cursor.fetchone() is None:
            raise LostLease(f"{claimed.kind} {claimed.key}")
