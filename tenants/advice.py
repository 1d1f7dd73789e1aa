"""What somebody could stop of their own to make room."""

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any, Final
from uuid import UUID

from django.db.models import Q

from tenants.amounts import COMPUTE, ZERO, Amounts, quantity
from tenants.models import Claim

# Sets of up to this many owners are tried in full, among this many of the largest; bigger sets are gathered
# greedily.
_TRIED_IN_FULL: Final = 3
_CANDIDATES: Final = 24


def owners_to_stop(
    levels: Iterable[Mapping[str, Any]],
    *,
    tenant_id: UUID,
    asker_id: UUID,
    owner_id: UUID,
    asker_is_member: bool,
) -> list[dict[str, Any]]:
    """The smallest set of the asker's own owners that, all stopped, makes it fit; empty when none does.

    levels: with numbers. asker_is_member: the member scope is the asker's own, so that stopping helps there
    too.
    [{"owner": user name, "cluster": label, "cluster_id", "frees": {"cpu": "3"}}]
    """
    need = _need(levels, asker_is_member=asker_is_member)
    if need is None:
        return []
    running = Q(cpu__gt=0) | Q(memory__gt=0) | Q(gpu__gt=0)
    claims = Claim.objects.filter(running, tenant_id=tenant_id, user_id=asker_id).exclude(owner_id=owner_id)
    claims = claims.select_related("user")
    most_needed = next(resource for resource in COMPUTE if need[resource])
    candidates = list(claims.order_by(f"-{most_needed}", "owner_id")[:_CANDIDATES])
    return [_named(claim) for claim in smallest_set(candidates, need)]


def smallest_set(claims: list[Claim], need: Amounts) -> list[Claim]:
    """The fewest of `claims` whose compute covers `need`; among equals the one that frees least."""
    for size in range(1, min(_TRIED_IN_FULL, len(claims)) + 1):
        fitting = [chosen for chosen in combinations(claims, size) if _covers(chosen, need)]
        if fitting:
            return list(min(fitting, key=lambda chosen: _freed(chosen).as_tuple()))
    return _greedy(claims, need)


def _greedy(claims: list[Claim], need: Amounts) -> list[Claim]:
    chosen: list[Claim] = []
    left = list(claims)
    while left and not _covers(chosen, need):
        missing = (need - _freed(chosen)).max(ZERO)
        best = max(left, key=lambda claim: _progress(claim, missing))
        left.remove(best)
        chosen.append(best)
    if not _covers(chosen, need):
        return []
    for claim in list(chosen):
        without = [other for other in chosen if other is not claim]
        if _covers(without, need):
            chosen = without
    return chosen


def _progress(claim: Claim, missing: Amounts) -> float:
    """How much of what is missing this claim covers, each resource counting as much as another."""
    return sum(
        min(1.0, claim.amounts[resource] / missing[resource]) for resource in COMPUTE if missing[resource]
    )


def _need(levels: Iterable[Mapping[str, Any]], *, asker_is_member: bool) -> Amounts | None:
    """What must become free; None when stopping cannot help."""
    short = ZERO
    for level in levels:
        if level["resource"] not in COMPUTE or (level["scope"] == "member" and not asker_is_member):
            return None
        short = short.max(Amounts(**{level["resource"]: level["short_by"]}))
    return short


def _freed(claims: Iterable[Claim]) -> Amounts:
    return sum((claim.amounts.compute() for claim in claims), ZERO)


def _covers(claims: Iterable[Claim], need: Amounts) -> bool:
    return need.fits_within(_freed(claims))


def _named(claim: Claim) -> dict[str, Any]:
    frees = {
        resource: quantity(resource, claim.amounts[resource])
        for resource in COMPUTE
        if claim.amounts[resource]
    }
    return {
        "owner": claim.user.username,
        "cluster": claim.label,
        "cluster_id": str(claim.owner_id),
        "frees": frees,
    }
