"""Which of their own clusters users could stop to make room for what does not fit."""

from collections.abc import Iterable
from itertools import combinations
from typing import Any, Final
from uuid import UUID

from django.db.models import Q

from tenants.amounts import COMPUTE, ZERO, Amounts, quantity
from tenants.models import Claim
from tenants.quota.levels import Level

# All sets of up to this many claims are tried, among this many of the largest claims. Larger sets are built greedily.
_TRIED_IN_FULL: Final = 3
_CANDIDATES: Final = 24


def owners_to_stop(
    short: Iterable[Level],
    *,
    tenant_id: UUID,
    asker_id: UUID,
    owner_id: UUID,
    asker_is_member: bool,
) -> list[dict[str, Any]]:
    """The smallest set of the asker's claims that makes room once their owners are stopped; empty without one.

    short: the levels that a change exceeds. owner_id: of the change, never proposed. asker_is_member: the member scope
    is the asker's own, so stopping the asker's clusters helps there too.
    [{"owner": user name, "cluster": label, "cluster_id", "frees": {"cpu": "3"}}]
    """
    need = ZERO
    for level in short:
        if level.resource not in COMPUTE or (level.scope == "member" and not asker_is_member):
            return []
        need = need.max(Amounts(**{level.resource: level.short_by}))
    running = Q(cpu__gt=0) | Q(memory__gt=0) | Q(gpu__gt=0)
    claims = Claim.objects.filter(running, tenant_id=tenant_id, user_id=asker_id).exclude(owner_id=owner_id)
    most_needed = next(resource for resource in COMPUTE if need[resource])
    largest_first = claims.select_related("user").order_by(f"-{most_needed}", "owner_id")
    return [
        {
            "owner": claim.user.username,
            "cluster": claim.label,
            "cluster_id": str(claim.owner_id),
            "frees": {name: quantity(name, claim.amounts[name]) for name in COMPUTE if claim.amounts[name]},
        }
        for claim in smallest_set(list(largest_first[:_CANDIDATES]), need)
    ]


def smallest_set(claims: list[Claim], need: Amounts) -> list[Claim]:
    """The fewest of `claims` whose compute covers `need`; among sets of that size the one that frees least."""
    for size in range(1, min(_TRIED_IN_FULL, len(claims)) + 1):
        fitting = [chosen for chosen in combinations(claims, size) if _covers(chosen, need)]
        if fitting:
            return list(min(fitting, key=lambda chosen: _freed(chosen).as_tuple()))
    return _greedy_set(claims, need)


def _greedy_set(claims: list[Claim], need: Amounts) -> list[Claim]:
    """Adds the claim that covers most of what is missing until `need` is covered, then drops what is superfluous."""

    def covered_share(claim: Claim) -> float:
        """Each resource counts the same: 1.0 per resource that the claim covers."""
        return sum(min(1.0, claim.amounts[name] / missing[name]) for name in COMPUTE if missing[name])

    chosen: list[Claim] = []
    left = list(claims)
    while left and not _covers(chosen, need):
        missing = (need - _freed(chosen)).max(ZERO)
        best = max(left, key=covered_share)
        left.remove(best)
        chosen.append(best)
    if not _covers(chosen, need):
        return []
    for claim in list(chosen):
        without = [other for other in chosen if other is not claim]
        if _covers(without, need):
            chosen = without
    return chosen


def _freed(claims: Iterable[Claim]) -> Amounts:
    return sum((claim.amounts.compute() for claim in claims), ZERO)


def _covers(claims: Iterable[Claim], need: Amounts) -> bool:
    return need.fits_within(_freed(claims))
