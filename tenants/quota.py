"""The ledger: who holds how much, and whether more fits.

Every change of a claim is one statement that locks the tenant's row, then the member's, then the claim
(always in this order), admits, and writes all of them or nothing. Call it last before commit: the tenant's
row, which everybody in the tenant needs, is then held for one round trip.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Q

from tenants.advice import owners_to_stop
from tenants.amounts import CEILINGS, RESOURCES, ZERO, Amounts, quantity
from tenants.errors import Invalid, NotFound, QuotaExceeded
from tenants.ids import new_id
from tenants.ledger_sql import CHANGE_CLAIM, DIFFERENCES, MOST_HELD
from tenants.models import Claim, Limit

Level = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Scope:
    """One locked row of limits, as it was before the change."""

    scope: str
    limits: list[int | None]
    held: Amounts

    def levels(self, change: Amounts) -> list[Level]:
        """The resources of which `change` asks for more than is left here."""
        found = []
        for resource, limit in zip(RESOURCES, self.limits, strict=True):
            ceiling = MOST_HELD if limit is None else limit
            after = self.held[resource] + change[resource]
            if change[resource] > 0 and after > ceiling:
                found.append(_level(self.scope, resource, ceiling, self.held[resource], change[resource]))
        return found


@dataclass(frozen=True, slots=True)
class LimitsAnswer:
    """limits: the row as it is now. over: the resources of which more is held than the new limit allows;
    nothing is taken away, but nothing may grow until it fits again."""

    limits: list[dict[str, Any]]
    over: list[dict[str, Any]]


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
    """Makes the claim of `owner_id` exactly `amounts`; all resources or none.

    What grows must fit the limits of the tenant and of `user_id`; what shrinks is never refused. `asker_id`
    is whose owners are proposed for stopping (default: `user_id`). Raises QuotaExceeded, and NotFound when
    the tenant is gone. Call inside transaction.atomic, as the last statements.
    """
    _check(amounts)
    scopes, change, done = _change(owner_id, tenant_id, user_id, label, site, amounts)
    if not done:
        levels = [level for scope in scopes for level in scope.levels(change)]
        raise _refusal(levels, owner_id, tenant_id, user_id, asker_id or user_id)


def claim_release(*, owner_id: UUID) -> None:
    """Takes the claim of `owner_id` to nothing. Releasing what holds nothing is fine."""
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


def preview(*, tenant_id: UUID, user_id: UUID, owner_id: UUID | None, amounts: Amounts) -> list[Level]:
    """What claim_set would find, per scope and resource, in JSON quantities; reads only.

    [{"scope", "resource", "limit" (None: unlimited), "held", "after", "short_by"}]
    """
    _check(amounts)
    claim = Claim.objects.filter(owner_id=owner_id).first() if owner_id else None
    change = amounts - (claim.amounts if claim else ZERO)
    return [
        _foreseen(row, resource, change[resource])
        for row in limit_rows(tenant_id=tenant_id, user_id=user_id)
        for resource in RESOURCES
    ]


def held_by(owner_id: UUID) -> Amounts:
    """What the owner holds now."""
    claim = Claim.objects.filter(owner_id=owner_id).first()
    return claim.amounts if claim else ZERO


def limit_rows(*, tenant_id: UUID, user_id: UUID | None) -> list[Limit]:
    """The tenant's row, then the member's if `user_id` is given and has one."""
    rows = list(Limit.objects.filter(tenant_id=tenant_id, user__isnull=True))
    if user_id is not None:
        rows += Limit.objects.filter(tenant_id=tenant_id, user_id=user_id)
    return rows


def limits_put(*, tenant_id: UUID, user_id: UUID | None, limits: Mapping[str, int | None]) -> LimitsAnswer:
    """Sets the named resources for the tenant (user_id None) or a member; None means unlimited.

    A limit below what is held is accepted: nothing is taken away, `over` says so, and growth waits until it
    fits.
    """
    for resource, value in limits.items():
        _check_limit(resource, value)
    row = Limit.objects.select_for_update(no_key=True).filter(_of(user_id), tenant_id=tenant_id).first()
    if row is None:
        raise NotFound
    for resource, value in limits.items():
        setattr(row, f"limit_{resource}", value)
    if limits:
        row.save(update_fields=[f"limit_{resource}" for resource in limits])
    return LimitsAnswer(limits=limit_json(row), over=over_json(row))


def limit_json(row: Limit) -> list[dict[str, Any]]:
    """[{"resource", "scope", "limit", "held", "free"}] in JSON quantities; limit and free are None when
    unlimited.
    """
    return [_limit_level(row, resource) for resource in RESOURCES]


def recompute(tenant_id: UUID) -> dict[UUID | None, Amounts]:
    """What the claims of the tenant add up to: per user, and under None for the tenant. Reads only."""
    sums: dict[UUID | None, Amounts] = {None: ZERO}
    for claim in Claim.objects.filter(tenant_id=tenant_id).iterator():
        sums[None] += claim.amounts
        sums[claim.user_id] = sums.get(claim.user_id, ZERO) + claim.amounts
    return sums


def ledger_differences(tenant_id: UUID | None = None) -> list[dict[str, Any]]:
    """Rows whose held differs from the sum of their claims, read in one snapshot; empty when the ledger is
    right.

    [{"tenant_id", "user_id" (None: the tenant's row), "held": Amounts, "claimed": Amounts}]
    """
    with connection.cursor() as cursor:
        cursor.execute(DIFFERENCES, {"tenant": tenant_id})
        rows = cursor.fetchall()
    return [
        {"tenant_id": row[0], "user_id": row[1], "held": Amounts(*row[2:7]), "claimed": Amounts(*row[7:12])}
        for row in rows
    ]


def _of(user_id: UUID | None) -> Q:
    return Q(user__isnull=True) if user_id is None else Q(user_id=user_id)


def _change(
    owner_id: UUID, tenant_id: UUID, user_id: UUID, label: str, site: str, amounts: Amounts
) -> tuple[list[_Scope], Amounts, bool]:
    """Runs the one statement: the locked rows as they were, the difference, and whether it fitted."""
    values: list[UUID | str | list[int]] = [owner_id, tenant_id, user_id, label, site, new_id()]
    values.append(list(amounts.as_tuple()))
    with connection.cursor() as cursor:
        cursor.execute(CHANGE_CLAIM, values)
        row = cursor.fetchone()
    if row is None:
        raise NotFound
    scopes = [_Scope("tenant", row[0], Amounts(*row[1])), _Scope("member", row[2], Amounts(*row[3]))]
    return scopes, Amounts(*row[4]), row[5]


def _refusal(
    levels: list[Level], owner_id: UUID, tenant_id: UUID, user_id: UUID, asker_id: UUID
) -> QuotaExceeded:
    stop = owners_to_stop(
        levels, tenant_id=tenant_id, asker_id=asker_id, owner_id=owner_id, asker_is_member=asker_id == user_id
    )
    shown = [_shown(level) for level in levels]
    first = shown[0]
    detail = (
        f"The {first['scope']} holds {first['held']} of {first['limit']} {first['resource']}; "
        f"this needs {first['wanted']} more, which is {first['short_by']} too much."
    )
    return QuotaExceeded(detail, levels=shown, would_fit_if_stopped=stop)


def _level(scope: str, resource: str, limit: int, held: int, wanted: int) -> Level:
    short_by = held + wanted - limit
    return {
        "scope": scope,
        "resource": resource,
        "limit": limit,
        "held": held,
        "wanted": wanted,
        "short_by": short_by,
    }


def _shown(level: Level) -> Level:
    """The level with its numbers as JSON quantities."""
    resource = level["resource"]
    return {
        name: quantity(resource, value) if isinstance(value, int) else value for name, value in level.items()
    }


def _foreseen(row: Limit, resource: str, change: int) -> Level:
    limit, held = row.limits[resource], row.held[resource]
    short_by = max(0, held + change - limit) if limit is not None and change > 0 else 0
    return {
        "scope": row.scope,
        "resource": resource,
        "limit": None if limit is None else quantity(resource, limit),
        "held": quantity(resource, held),
        "after": quantity(resource, held + change),
        "short_by": quantity(resource, short_by),
    }


def _limit_level(row: Limit, resource: str) -> dict[str, Any]:
    limit, held = row.limits[resource], row.held[resource]
    return {
        "resource": resource,
        "scope": row.scope,
        "limit": None if limit is None else quantity(resource, limit),
        "held": quantity(resource, held),
        "free": None if limit is None else quantity(resource, max(0, limit - held)),
    }


def over_json(row: Limit) -> list[dict[str, Any]]:
    """Of what more is held than the limit allows."""
    over = []
    for resource in RESOURCES:
        limit, held = row.limits[resource], row.held[resource]
        if limit is not None and held > limit:
            over.append(
                {
                    "scope": row.scope,
                    "resource": resource,
                    "limit": quantity(resource, limit),
                    "held": quantity(resource, held),
                    "over_by": quantity(resource, held - limit),
                }
            )
    return over


def _check(amounts: Amounts) -> None:
    for resource in RESOURCES:
        if amounts[resource] < 0:
            raise ValueError(f"{resource} of a claim is negative")
        if amounts[resource] > CEILINGS[resource]:
            raise Invalid(
                f"In all, {resource} must be at most {quantity(resource, CEILINGS[resource])} for one owner."
            )


def _check_limit(resource: str, value: int | None) -> None:
    if resource not in RESOURCES:
        raise Invalid.at(f"/{resource}", f"Unknown; use {', '.join(RESOURCES)}.")
    if value is not None and not 0 <= value <= CEILINGS[resource]:
        raise Invalid.at(f"/{resource}", f"Must be from 0 to {quantity(resource, CEILINGS[resource])}.")
