"""Claims in many threads that change the same rows of a real PostgreSQL."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from uuid import UUID

import pytest
from django.db import connection, transaction

from tenants import quota
from tenants.amounts import ZERO, Amounts
from tenants.errors import QuotaExceeded
from tenants.ids import new_id
from tenants.models import Claim, Holding, Limit, Role, Tenant
from tests.cast import Cast, a_member, cast, set_limits

pytestmark = pytest.mark.django_db(transaction=True)
THREADS = 16
ONE = Amounts(cpu=1000, memory=1024, clusters=1)


@pytest.fixture
def people() -> Cast:
    return cast()


def in_parallel(work: Callable[[int], object], threads: int = THREADS) -> list[object]:
    """Runs work(0), work(1), … in parallel, each on its own connection. Returns their results in order."""
    start = Barrier(threads)

    def run(index: int) -> object:
        try:
            start.wait(30)
            return work(index)
        finally:
            connection.close()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))


def claims(tenant: Tenant, user_id: UUID, owner_id: UUID, amounts: Amounts) -> bool:
    try:
        with transaction.atomic():
            quota.claim_set(
                owner_id=owner_id,
                tenant_id=tenant.pk,
                user_id=user_id,
                label="etl",
                site="local",
                amounts=amounts,
            )
    except QuotaExceeded:
        return False
    return True


def claim_one(people: Cast, owners: list[UUID], index: int) -> bool:
    return claims(people.acme, people.bob.pk, owners[index], ONE)


def claim_some(people: Cast, owner_id: UUID, index: int) -> bool:
    return claims(people.acme, people.bob.pk, owner_id, ONE * (index + 1))


def releases(owner_id: UUID) -> None:
    with transaction.atomic():
        quota.claim_release(owner_id=owner_id)


def assert_true_ledger() -> None:
    assert quota.ledger_differences() == []
    open_now = Holding.objects.filter(ended_at=None).values_list("owner_id", "cpu", "memory", "storage")
    assert set(open_now) == set(Claim.objects.values_list("owner_id", "cpu", "memory", "storage"))


@pytest.mark.parametrize("limited", ["tenant", "member"])
@pytest.mark.parametrize("room", [1, 7, 15])
def test_concurrent_claims_are_admitted_up_to_the_limit(people: Cast, room: int, limited: str):
    set_limits(people.acme, people.bob if limited == "member" else None, clusters=room)
    for _ in range(5):
        owners = [new_id() for _ in range(THREADS)]
        won = in_parallel(partial(claim_one, people, owners))
        assert won.count(True) == room
        assert Limit.objects.get(tenant=people.acme, user=None).held == ONE * room
        for owner in owners:
            releases(owner)
    assert_true_ledger()


def test_limits_of_several_members_are_independent(people: Cast):
    a_member(people.acme, people.charlie, Role.MEMBER, clusters=2)
    set_limits(people.acme, clusters=9)
    set_limits(people.acme, people.bob, clusters=3)
    users = [people.bob.pk, people.charlie.pk, people.alice.pk, people.alice.pk]
    in_parallel(lambda i: claims(people.acme, users[i % 4], new_id(), ONE))
    held = {row.user_id: row.held_clusters for row in Limit.objects.filter(tenant=people.acme)}
    assert held[None] == 9
    assert held[people.bob.pk] <= 3
    assert held[people.charlie.pk] <= 2
    assert_true_ledger()


def test_concurrent_claims_of_one_owner_end_as_one_of_them(people: Cast):
    for _ in range(10):
        owner = new_id()
        won = in_parallel(partial(claim_some, people, owner))
        assert all(won)
        assert Claim.objects.get(owner_id=owner).amounts in [ONE * (i + 1) for i in range(THREADS)]
        assert_true_ledger()


def test_claiming_and_releasing_the_same_owner_at_once_keeps_the_ledger_true(people: Cast):
    owner = new_id()

    def change(index: int) -> None:
        for round_ in range(10):
            if (index + round_) % 2:
                claims(people.acme, people.bob.pk, owner, ONE * (index + 1))
            else:
                releases(owner)

    in_parallel(change)
    assert_true_ledger()


def test_random_work_never_holds_too_much_and_refuses_nothing_that_fits(people: Cast):
    """Each thread claims at most its share. All shares add up to the limit, so all claims must be admitted."""
    set_limits(people.acme, cpu=THREADS * 3000, memory=THREADS * 3 * 1024, clusters=THREADS * 3)

    def change(index: int) -> int:
        dice = random.Random(index)  # noqa: S311
        owners = [new_id() for _ in range(3)]
        refused = 0
        for _ in range(25):
            owner = dice.choice(owners)
            if dice.random() < 0.3:
                releases(owner)
            else:
                refused += not claims(people.acme, people.bob.pk, owner, dice.choice([ONE, ONE.at_rest()]))
        return refused

    assert sum(int(str(refused)) for refused in in_parallel(change)) == 0
    assert_true_ledger()


def test_growing_against_a_full_limit_is_never_oversubscribed(people: Cast):
    set_limits(people.acme, cpu=20_000)
    dice_rolls = 20

    def change(index: int) -> int:
        dice = random.Random(index)  # noqa: S311
        owner, most = new_id(), 0
        for _ in range(dice_rolls):
            claims(people.acme, people.bob.pk, owner, Amounts(cpu=dice.randrange(1, 6) * 1000))
            most = max(most, Limit.objects.get(tenant=people.acme, user=None).held_cpu)
        return most

    assert max(int(str(most)) for most in in_parallel(change)) <= 20_000
    assert_true_ledger()


def test_a_limit_changed_in_the_middle_counts_from_then_on(people: Cast):
    set_limits(people.acme, cpu=8000)

    def change(index: int) -> bool | None:
        if index == 0:
            quota_before = {"cpu": 4000}
            with transaction.atomic():
                quota.limits_put(tenant_id=people.acme.pk, user_id=None, limits=quota_before)
            return None
        return claims(people.acme, people.bob.pk, new_id(), ONE)

    in_parallel(change)
    assert 4000 <= Limit.objects.get(tenant=people.acme, user=None).held_cpu <= 8000
    assert not claims(people.acme, people.bob.pk, new_id(), ONE)
    assert_true_ledger()


def test_two_claims_in_one_transaction_do_not_block_each_other_for_ever(people: Cast):
    def change(index: int) -> None:
        owners = [new_id(), new_id()]
        with transaction.atomic():
            for owner in owners if index % 2 else reversed(owners):
                claims(people.acme, [people.bob.pk, people.alice.pk][index % 2], owner, ONE)

    in_parallel(change)
    assert Limit.objects.get(tenant=people.acme, user=None).held == ONE * 2 * THREADS
    assert_true_ledger()


def test_nothing_is_held_when_all_is_released(people: Cast):
    owners = [new_id() for _ in range(THREADS)]
    in_parallel(lambda i: claims(people.acme, people.bob.pk, owners[i], ONE))
    in_parallel(lambda i: releases(owners[i]))
    assert {row.held for row in Limit.objects.all()} == {ZERO}
    assert_true_ledger()
