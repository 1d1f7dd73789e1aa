"""Claims: what each owner, such as a cluster, holds of the limits above it.

One statement makes every change of a claim. It locks the tenant's row, the member's row and the claim, always in this
order, decides, and writes all of them or none. Call it last before commit: everyone in the tenant needs the tenant's
row, which is then locked for one round trip.
"""

from typing import Any
from uuid import UUID

from django.db import connection

from tenants.amounts import CEILINGS, RESOURCES, ZERO, Amounts, quantity
from tenants.errors import Invalid, NotFound, QuotaExceeded
from tenants.ids import new_id
from tenants.models import Claim
from tenants.quota.advice import owners_to_stop
from tenants.quota.levels import levels
from tenants.quota.limits import levels_of, limit_rows
from tenants.quota.sql import CHANGE_CLAIM


def claim_set(
    *,
    owner_id: UUID,
    tenant_id: UUID,
    user_id: UUID,
    label: str,
    site: str,
    amounts: Amounts,
    asker_id: UUID | None = None,
) -> None:
    """Makes the claim of `owner_id` exactly `amounts`: all resources or none.

    Growth must fit the limits of the tenant and of `user_id`; shrinking is never refused. asker_id: the user whose
    owners a refusal proposes to stop, `user_id` by default. Raises QuotaExceeded, and NotFound when the tenant is
    gone. Call it last in a transaction.atomic block.
    """
    _check(amounts)
    with connection.cursor() as cursor:
        wanted = list(amounts.as_tuple())
        cursor.execute(CHANGE_CLAIM, [owner_id, tenant_id, user_id, label, site, new_id(), wanted])
        row = cursor.fetchone()
    if row is None:
        raise NotFound
    tenant_limits, tenant_held, member_limits, member_held, change, fitted = row
    if fitted:
        return
    found = levels("tenant", tenant_limits, Amounts(*tenant_held), Amounts(*change))
    found += levels("member", member_limits, Amounts(*member_held), Amounts(*change))
    short = [level for level in found if level.short_by]
    asker_id = asker_id or user_id
    stop = owners_to_stop(
        short, tenant_id=tenant_id, asker_id=asker_id, owner_id=owner_id, asker_is_member=asker_id == user_id
    )
    shown = [level.refusal_json() for level in short]
    first = shown[0]
    raise QuotaExceeded(
        f"The {first['scope']} holds {first['held']} of {first['limit']} {first['resource']}; "
        f"this needs {first['wanted']} more, which is {first['short_by']} too much.",
        levels=shown,
        would_fit_if_stopped=stop,
    )


def claim_release(*, owner_id: UUID) -> None:
    """Sets the claim of `owner_id` to nothing. An owner that holds nothing is fine."""
    claim = Claim.objects.filter(owner_id=owner_id).first()
    if claim is None:
        return
    claim_set(
        owner_id=owner_id,
        tenant_id=claim.tenant_id,
        user_id=claim.user_id,
        label=claim.label,
        site=claim.site,
        amounts=ZERO,
    )


def preview(
    *, tenant_id: UUID, user_id: UUID, owner_id: UUID | None, amounts: Amounts
) -> list[dict[str, Any]]:
    """What claim_set would decide, per scope and resource, in JSON quantities. Reads only.

    [{"scope", "resource", "limit" (None: unlimited), "held", "after", "short_by"}]
    """
    _check(amounts)
    change = amounts - (held_by(owner_id) if owner_id else ZERO)
    rows = limit_rows(tenant_id=tenant_id, user_id=user_id)
    return [level.preview_json() for row in rows for level in levels_of(row, change)]


def held_by(owner_id: UUID) -> Amounts:
    """What the owner holds now."""
    claim = Claim.objects.filter(owner_id=owner_id).first()
    return claim.amounts if claim else ZERO


def _check(amounts: Amounts) -> None:
    for resource in RESOURCES:
        if amounts[resource] < 0:
            raise ValueError(f"{resource} of a claim is negative")
        if amounts[resource] > CEILINGS[resource]:
            raise Invalid(
                f"In all, {resource} must be at most {quantity(resource, CEILINGS[resource])} for one owner."
            )
