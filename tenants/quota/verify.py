"""Proofs that the ledger adds up, for tests and for operators. They only read."""

from typing import Any
from uuid import UUID

from django.db import connection

from tenants.amounts import ZERO, Amounts
from tenants.models import Claim
from tenants.quota.sql import DIFFERENCES


def recompute(tenant_id: UUID) -> dict[UUID | None, Amounts]:
    """The sums of the tenant's claims: one per user, and the sum of all under None."""
    sums: dict[UUID | None, Amounts] = {None: ZERO}
    for claim in Claim.objects.filter(tenant_id=tenant_id).iterator():
        sums[None] += claim.amounts
        sums[claim.user_id] = sums.get(claim.user_id, ZERO) + claim.amounts
    return sums


def ledger_differences(tenant_id: UUID | None = None) -> list[dict[str, Any]]:
    """The rows whose held amounts differ from the sum of their claims; empty when the ledger is right.

    [{"tenant_id", "user_id" (None: the tenant's row), "held": Amounts, "claimed": Amounts}], read in one statement.
    """
    with connection.cursor() as cursor:
        cursor.execute(DIFFERENCES, {"tenant": tenant_id})
        rows = cursor.fetchall()
    return [
        {"tenant_id": row[0], "user_id": row[1], "held": Amounts(*row[2:7]), "claimed": Amounts(*row[7:12])}
        for row in rows
    ]
