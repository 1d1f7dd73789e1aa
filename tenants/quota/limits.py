"""Limits of tenants and members: one row each, with the sum of the claims under it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tenants.amounts import CEILINGS, RESOURCES, ZERO, Amounts, quantity
from tenants.errors import Invalid, NotFound
from tenants.models import Limit
from tenants.quota.levels import Level, levels


@dataclass(frozen=True, slots=True)
class LimitsAnswer:
    """limits: the row after the change, as `limit_json`. over: the resources that exceed their new limit, as
    `over_json`. Slipway takes nothing away from their holders; only growth is refused until they fit again.
    """

    limits: list[dict[str, Any]]
    over: list[dict[str, Any]]


def limit_rows(*, tenant_id: UUID, user_id: UUID | None) -> list[Limit]:
    """The tenant's row, then the member's if `user_id` is given and has one."""
    rows = list(Limit.objects.filter(tenant_id=tenant_id, user__isnull=True))
    if user_id is not None:
        rows += Limit.objects.filter(tenant_id=tenant_id, user_id=user_id)
    return rows


def limits_put(*, tenant_id: UUID, user_id: UUID | None, limits: Mapping[str, int | None]) -> LimitsAnswer:
    """Sets the named resources of the tenant (`user_id` None) or of a member; None means unlimited.

    A limit below what is held is accepted; see LimitsAnswer. Raises Invalid, and NotFound without a row.
    """
    for resource, value in limits.items():
        if resource not in RESOURCES:
            raise Invalid.at(f"/{resource}", f"Unknown resource. Use one of: {', '.join(RESOURCES)}.")
        if value is not None and not 0 <= value <= CEILINGS[resource]:
            raise Invalid.at(f"/{resource}", f"Must be from 0 to {quantity(resource, CEILINGS[resource])}.")
    rows = Limit.objects.select_for_update(no_key=True).filter(tenant_id=tenant_id)
    row = (rows.filter(user__isnull=True) if user_id is None else rows.filter(user_id=user_id)).first()
    if row is None:
        raise NotFound
    for resource, value in limits.items():
        setattr(row, f"limit_{resource}", value)
    if limits:
        row.save(update_fields=[f"limit_{resource}" for resource in limits])
    return LimitsAnswer(limits=limit_json(row), over=over_json(row))


def levels_of(row: Limit, change: Amounts = ZERO) -> list[Level]:
    """The row as levels, one per resource, before `change`."""
    return levels(row.scope, row.limits.values(), row.held, change)


def limit_json(row: Limit) -> list[dict[str, Any]]:
    """[{"resource", "scope", "limit", "held", "free"}] in JSON quantities, one per resource."""
    return [level.limit_json() for level in levels_of(row)]


def over_json(row: Limit) -> list[dict[str, Any]]:
    """[{"scope", "resource", "limit", "held", "over_by"}] of the resources that exceed their limit."""
    return [level.over_json() for level in levels_of(row) if level.over_by]
