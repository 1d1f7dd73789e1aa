"""Which of their own clusters users are advised to stop when a claim does not fit."""

from itertools import combinations

import pytest
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from tenants import quota
from tenants.amounts import ZERO, Amounts
from tenants.errors import QuotaExceeded
from tenants.ids import new_id
from tenants.models import Claim, Tenant, User
from tenants.quota.advice import smallest_set
from tests.cast import Cast, cast, set_limits


def refusal(tenant: Tenant, user: User, amounts: Amounts, asker: User | None = None) -> QuotaExceeded:
    with pytest.raises(QuotaExceeded) as refused, transaction.atomic():
        put(tenant, user, "new", amounts, asker)
    return refused.value


def put(tenant: Tenant, user: User, label: str, amounts: Amounts, asker: User | None = None) -> None:
    quota.claim_set(
        owner_id=new_id(),
        tenant_id=tenant.pk,
        user_id=user.pk,
        label=label,
        site="local",
        amounts=amounts,
        asker_id=asker.pk if asker else None,
    )


@pytest.fixture
def people(db: None) -> Cast:
    """bob holds 1, 2 and 4 cores in acme and alice 1; the limit is full."""
    people = cast()
    for label, cores in (("one", 1), ("two", 2), ("four", 4)):
        put(people.acme, people.bob, label, Amounts(cpu=cores * 1000, storage=1))
    put(people.acme, people.alice, "hers", Amounts(cpu=1000))
    set_limits(people.acme, cpu=8000)
    return people


def labels(refused: QuotaExceeded) -> list[str]:
    return [entry["cluster"] for entry in refused.extra["would_fit_if_stopped"]]


def test_the_single_owner_that_frees_enough_and_least_is_named(people: Cast):
    refused = refusal(people.acme, people.bob, Amounts(cpu=2000))
    assert labels(refused) == ["two"]
    assert refused.extra["would_fit_if_stopped"][0]["frees"] == {"cpu": "2"}


def test_several_are_named_when_one_is_not_enough(people: Cast):
    assert sorted(labels(refusal(people.acme, people.bob, Amounts(cpu=5000)))) == ["four", "one"]


def test_nothing_is_named_when_stopping_all_own_clusters_is_not_enough(people: Cast):
    assert labels(refusal(people.acme, people.bob, Amounts(cpu=8000))) == []


def test_others_clusters_are_never_named(people: Cast):
    assert labels(refusal(people.acme, people.alice, Amounts(cpu=1000))) == ["hers"]


def test_stopping_does_not_help_against_storage_or_the_cluster_count(people: Cast):
    set_limits(people.acme, storage=3)
    assert labels(refusal(people.acme, people.bob, Amounts(cpu=1000, storage=1))) == []


def test_an_admin_who_launches_for_a_member_gets_advice_on_the_admins_own_clusters(people: Cast):
    assert labels(refusal(people.acme, people.bob, Amounts(cpu=1000), asker=people.alice)) == ["hers"]


def test_an_admins_own_clusters_do_not_free_a_members_limit(people: Cast):
    set_limits(people.acme, cpu=None)
    set_limits(people.acme, people.bob, cpu=7000)
    assert labels(refusal(people.acme, people.bob, Amounts(cpu=1000), asker=people.alice)) == []


computes = st.builds(Amounts, cpu=st.integers(0, 4), memory=st.integers(0, 4), gpu=st.integers(0, 2))


def claim_of(amounts: Amounts) -> Claim:
    return Claim(owner_id=new_id(), cpu=amounts.cpu, memory=amounts.memory, gpu=amounts.gpu)


@given(st.lists(computes, max_size=6), computes.filter(bool))
def test_the_set_is_sufficient_minimal_and_found_whenever_there_is_one(held: list[Amounts], need: Amounts):
    claims = [claim_of(amounts) for amounts in held]
    found = smallest_set(claims, need)
    enough = [
        size
        for size in range(1, len(held) + 1)
        for chosen in combinations(held, size)
        if need.fits_within(sum(chosen, ZERO))
    ]
    assert bool(found) == bool(enough)
    if found:
        assert need.fits_within(sum((claim.amounts for claim in found), ZERO))
        # Sets of up to three are tried in full. A larger set is built greedily and can be larger than the smallest one.
        assert len(found) == min(enough) if min(enough) <= 3 else len(found) >= min(enough)
