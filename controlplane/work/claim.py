"""Leases on due work: taken with SKIP LOCKED by the database's clock, fairly among tenants, fenced."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from controlplane.work.lease_owner import lease_owner

LEASE_SECONDS = 30
# A result is recorded only while this much of the lease is left, so that the commit falls inside it.
MARGIN_SECONDS = 3

# How many tenants, and how many rows of each, one claim considers: more than workers claim at the same moment.
TENANTS, ROWS = 16, 8

# The recursive query visits the index once a tenant, so that the cost follows the number of tenants, not of rows.
# statement_timestamp() does not change within a statement: unlike clock_timestamp() it can be looked up in an index.
# `next` repeats the conditions on the row, because PostgreSQL checks them again once it has the lock.
CLAIM = """
WITH RECURSIVE tenant(id) AS (
    (SELECT tenant_id FROM work_work WHERE due_at IS NOT NULL AND tenant_id IS NOT NULL ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT w.tenant_id FROM work_work w
             WHERE w.due_at IS NOT NULL AND w.tenant_id > t.id ORDER BY w.tenant_id LIMIT 1)
      FROM tenant t WHERE t.id IS NOT NULL
), flight AS (
    SELECT tenant_id, count(*) AS n FROM work_work WHERE lease_until > statement_timestamp() GROUP BY tenant_id
), first AS (
    SELECT t.id, coalesce(f.n, 0) AS n
      FROM tenant t LEFT JOIN flight f ON f.tenant_id = t.id, LATERAL (
            SELECT due_at FROM work_work
             WHERE tenant_id = t.id AND due_at <= statement_timestamp()
               AND (lease_until IS NULL OR lease_until < statement_timestamp()) AND kind = ANY(%(kinds)s)
             ORDER BY due_at LIMIT 1) w
     WHERE t.id IS NOT NULL ORDER BY n, w.due_at LIMIT %(tenants)s
), candidate AS (
    SELECT w.id, f.n, w.due_at FROM first f, LATERAL (
            SELECT id, due_at FROM work_work
             WHERE tenant_id = f.id AND due_at <= statement_timestamp()
               AND (lease_until IS NULL OR lease_until < statement_timestamp()) AND kind = ANY(%(kinds)s)
             ORDER BY due_at LIMIT %(rows)s) w
    UNION ALL
    (SELECT id, 0, due_at FROM work_work
             WHERE tenant_id IS NULL AND due_at <= statement_timestamp()
               AND (lease_until IS NULL OR lease_until < statement_timestamp()) AND kind = ANY(%(kinds)s)
             ORDER BY due_at LIMIT %(rows)s)
), next AS (
    SELECT w.id FROM candidate c JOIN work_work w ON w.id = c.id
     WHERE w.due_at <= statement_timestamp() AND (w.lease_until IS NULL OR w.lease_until < statement_timestamp())
     ORDER BY c.n, c.due_at
     LIMIT 1 FOR UPDATE OF w SKIP LOCKED
), claimed AS (
    UPDATE work_work w
       SET lease_until = clock_timestamp() + %(lease)s * interval '1 second', lease_owner = %(lease_owner)s,
           fence = w.fence + 1, attempts = w.attempts + 1
      FROM next WHERE w.id = next.id
    RETURNING w.id, w.kind, w.key, w.fence, w.wake_seq, w.attempts,
              extract(epoch FROM statement_timestamp() - w.due_at)::float8
)
SELECT * FROM claimed
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, CASE WHEN EXISTS (
           SELECT FROM work_work
            WHERE due_at <= statement_timestamp() AND kind = ANY(%(kinds)s)
              AND (lease_until IS NULL OR lease_until < statement_timestamp())
       ) THEN 0 ELSE extract(epoch FROM least(
           (SELECT min(due_at) FROM work_work WHERE due_at > statement_timestamp() AND kind = ANY(%(kinds)s)),
           (SELECT min(lease_until) FROM work_work
             WHERE lease_until > statement_timestamp() AND due_at IS NOT NULL AND kind = ANY(%(kinds)s))
       ) - clock_timestamp())::float8 END
 WHERE NOT EXISTS (SELECT FROM claimed)
"""

# wake_seq tells whether somebody woke this row during the pass: then it is due at once, whatever the pass says.
_RELEASE = """
UPDATE work_work
   SET lease_until = NULL, lease_owner = '',
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
        cursor.execute(CLAIM, claim_parameters(kinds))
        row = cursor.fetchone()
    if row[0] is not None:
        return Claimed(*row)
    return at_most if row[6] is None else min(at_most, max(0.0, row[6]))


def claim_parameters(kinds: list[str]) -> dict[str, Any]:
    """What the statement CLAIM is executed with."""
    return {
        "kinds": kinds,
        "lease": LEASE_SECONDS,
        "lease_owner": lease_owner(),
        "tenants": TENANTS,
        "rows": ROWS,
    }


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
