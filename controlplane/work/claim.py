"""Leases on due work: taken with SKIP LOCKED by the database's clock, fairly among tenants, fenced by a number."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models.functions import Now

from controlplane.work.lease_owner import lease_owner
from controlplane.work.models import Work
from controlplane.work.queries import CLAIM, RELEASE, REQUIRE
from controlplane.work.timing import LEASE_SECONDS, MARGIN_SECONDS

# How many tenants, and how many rows of each, one claim considers: more than workers claim at the same moment.
TENANTS, ROWS = 16, 8


class LostLease(Exception):  # noqa: N818
    """Another worker may handle the work item now: stop, and record nothing."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A lease on one work item.

    attempts: passes in a row that failed, this one included. late: seconds that the item had been due.
    """

    id: int
    kind: str
    key: UUID
    fence: int
    wake_seq: int
    attempts: int
    late: float


def claim(kinds: list[str]) -> Claimed | None:
    """Lease the next due item: of the tenant with the fewest leases, the one that has been due longest."""
    found = claim_or_wait(kinds, at_most=0)
    return found if isinstance(found, Claimed) else None


def claim_or_wait(kinds: list[str], *, at_most: float) -> Claimed | float:
    """What `claim` leases, or the seconds until an item becomes due or the lease on a due item runs out.

    0 = something is due, and locked.
    """
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, claim_parameters(kinds))
        row = cursor.fetchone()
    if row[0] is not None:
        return Claimed(*row)
    return at_most if row[6] is None else min(at_most, max(0.0, row[6]))


def claim_parameters(kinds: list[str]) -> dict[str, Any]:
    """The parameters of the statement CLAIM."""
    return {
        "kinds": kinds,
        "lease": LEASE_SECONDS,
        "lease_owner": lease_owner(),
        "tenants": TENANTS,
        "rows": ROWS,
    }


def release(claimed: Claimed, *, next_in: float | None, failed: bool = False) -> None:
    """End the lease. next_in: seconds until the item is due again; None = rest until woken."""
    parameters = {
        "id": claimed.id,
        "fence": claimed.fence,
        "wake_seq": claimed.wake_seq,
        "next": next_in,
        "failed": failed,
    }
    with connection.cursor() as cursor:
        cursor.execute(RELEASE, parameters)


def prolong(claimed: Claimed, seconds: float) -> None:
    """Keep the lease for so long from now, for work that is one long call. Raises LostLease."""
    held = Work.objects.filter(id=claimed.id, fence=claimed.fence, lease_until__gt=Now())
    if not held.update(lease_until=Now() + timedelta(seconds=seconds)):
        raise LostLease(f"{claimed.kind} {claimed.key}")


def require(claimed: Claimed) -> None:
    """Has to be the first statement of every transaction that records a result. Raises LostLease."""
    with connection.cursor() as cursor:
        cursor.execute(REQUIRE, [claimed.id, claimed.fence, MARGIN_SECONDS])
        if cursor.fetchone() is None:
            raise LostLease(f"{claimed.kind} {claimed.key}")
