"""Claims and limits."""

from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction

from tenants import quota
from tenants.amounts import ZERO, Amounts
from tenants.errors import Invalid, NotFound, QuotaExceeded
from tenants.ids import new_id
from tenants.models import Claim, Holding, Limit, Tenant, User
from tests.cast import Cast, cast, set_limits

pytestmark = pytest.mark.django_db
GI = 1024**3
SMALL = Amounts(cpu=1000, memory=GI, storage=GI, clusters=1)


@pytest.fixture
def people() -> Cast:
    return cast()


def claim(
    tenant: Tenant,
    user: User,
    amounts: Amounts,
    owner_id: UUID | None = None,
    label: str = "etl-1",
    asker: User | None = None,
) -> UUID:
    owner_id = owner_id or new_id()
    with transaction.atomic():
        quota.claim_set(
            owner_id=owner_id,
            tenant_id=tenant.pk,
            user_id=user.pk,
            label=label,
            site="local",
            amounts=amounts,
            asker_id=asker.pk if asker else None,
        )
    return owner_id


def held(tenant: Tenant, user: User | None = None) -> Amounts:
    return Limit.objects.get(tenant=tenant, user=user).held


def test_a_claim_counts_for_tenant_and_member(people: Cast):
    owner = claim(people.acme, people.bob, SMALL)
    assert held(people.acme) == held(people.acme, people.bob) == SMALL
    assert Claim.objects.get(owner_id=owner).amounts == SMALL
    assert held(people.acme, people.alice) == held(people.globex) == ZERO


def test_a_claim_that_fits_exactly_is_admitted(people: Cast):
    set_limits(people.acme, cpu=1000, memory=GI, gpu=0, storage=GI, clusters=1)
    claim(people.acme, people.bob, SMALL)
    assert held(people.acme) == SMALL


@pytest.mark.parametrize("resource", ["cpu", "memory", "gpu", "storage", "clusters"])
@pytest.mark.parametrize("scope", ["tenant", "member"])
def test_one_too_much_of_any_resource_in_any_scope_is_refused_whole(people: Cast, resource: str, scope: str):
    set_limits(people.acme, people.bob if scope == "member" else None, **{resource: 4})
    wanted = Amounts(5, 5, 5, 5, 5)
    with pytest.raises(QuotaExceeded) as refusal:
        claim(people.acme, people.bob, wanted)
    (level,) = refusal.value.extra["levels"]
    assert (level["scope"], level["resource"]) == (scope, resource)
    assert held(people.acme) == held(people.acme, people.bob) == ZERO
    assert not Claim.objects.exists()
    assert not Holding.objects.exists()


def test_a_refusal_in_a_transaction_that_continues_writes_nothing(people: Cast):
    set_limits(people.acme, people.bob, cpu=500)
    with transaction.atomic(), pytest.raises(QuotaExceeded):
        claim(people.acme, people.bob, SMALL)
    assert quota.ledger_differences() == []
    assert held(people.acme) == ZERO


def test_a_refusal_names_every_level_with_its_numbers(people: Cast):
    set_limits(people.acme, cpu=8000, memory=10 * GI)
    set_limits(people.acme, people.bob, cpu=8000)
    claim(people.acme, people.bob, Amounts(cpu=7000, memory=GI))
    with pytest.raises(QuotaExceeded) as refusal:
        claim(people.acme, people.bob, Amounts(cpu=3000, memory=20 * GI))
    assert refusal.value.extra["levels"] == [
        {"scope": "tenant", "resource": "cpu", "limit": "8", "held": "7", "wanted": "3", "short_by": "2"},
        {
            "scope": "tenant",
            "resource": "memory",
            "limit": "10Gi",
            "held": "1Gi",
            "wanted": "20Gi",
            "short_by": "11Gi",
        },
        {"scope": "member", "resource": "cpu", "limit": "8", "held": "7", "wanted": "3", "short_by": "2"},
    ]
    assert refusal.value.detail == "The tenant holds 7 of 8 cpu; this needs 3 more, which is 2 too much."


def test_growing_asks_only_for_the_difference(people: Cast):
    set_limits(people.acme, cpu=3000)
    owner = claim(people.acme, people.bob, Amounts(cpu=2000))
    claim(people.acme, people.bob, Amounts(cpu=3000), owner)
    assert held(people.acme) == Amounts(cpu=3000)
    with pytest.raises(QuotaExceeded) as refusal:
        claim(people.acme, people.bob, Amounts(cpu=4000), owner)
    assert refusal.value.extra["levels"][0]["wanted"] == "1"


def test_shrinking_is_never_refused_even_above_a_lowered_limit(people: Cast):
    owner = claim(people.acme, people.bob, Amounts(cpu=5000, storage=GI))
    set_limits(people.acme, cpu=1000, storage=0)
    claim(people.acme, people.bob, Amounts(cpu=4000, storage=GI), owner)
    assert held(people.acme) == Amounts(cpu=4000, storage=GI)


def test_one_resource_may_not_grow_while_another_shrinks_into_the_limit(people: Cast):
    owner = claim(people.acme, people.bob, Amounts(cpu=5000, memory=GI))
    set_limits(people.acme, cpu=1000, memory=GI)
    with pytest.raises(QuotaExceeded) as refusal:
        claim(people.acme, people.bob, Amounts(cpu=4000, memory=2 * GI), owner)
    assert [level["resource"] for level in refusal.value.extra["levels"]] == ["memory"]


def test_setting_the_same_amounts_again_changes_nothing(people: Cast):
    set_limits(people.acme, cpu=1000)
    owner = claim(people.acme, people.bob, Amounts(cpu=1000))
    set_limits(people.acme, cpu=0)
    claim(people.acme, people.bob, Amounts(cpu=1000), owner)
    assert held(people.acme) == Amounts(cpu=1000)
    assert Holding.objects.count() == 1


def test_releasing_a_claim_frees_all_and_ends_its_holding(people: Cast):
    owner = claim(people.acme, people.bob, SMALL)
    with transaction.atomic():
        quota.claim_release(owner_id=owner)
    assert held(people.acme) == held(people.acme, people.bob) == ZERO
    assert not Claim.objects.exists()
    assert Holding.objects.get().ended_at is not None


def test_releasing_twice_or_without_a_claim_does_nothing(people: Cast):
    owner = claim(people.acme, people.bob, SMALL)
    for _ in range(2):
        quota.claim_release(owner_id=owner)
    quota.claim_release(owner_id=new_id())
    assert quota.ledger_differences() == []


def test_every_change_appends_a_holding_that_joins_on_to_the_last(people: Cast):
    owner = claim(people.acme, people.bob, SMALL)
    claim(people.acme, people.bob, SMALL.at_rest(), owner)
    claim(people.acme, people.bob, SMALL * 2, owner)
    first, second, third = Holding.objects.order_by("started_at")
    assert [first.amounts, second.amounts, third.amounts] == [SMALL, SMALL.at_rest(), SMALL * 2]
    assert (first.ended_at, second.ended_at) == (second.started_at, third.started_at)
    assert third.ended_at is None


def test_the_database_refuses_to_rewrite_a_holding(people: Cast):
    claim(people.acme, people.bob, SMALL)
    for change in ({"cpu": 1}, {"label": "x"}):
        with pytest.raises(Exception, match="only added to"), transaction.atomic():
            Holding.objects.update(**change)
    with pytest.raises(Exception, match="only added to"), transaction.atomic():
        Holding.objects.all().delete()


def test_a_claim_of_another_tenant_is_not_taken_over(people: Cast):
    owner = claim(people.acme, people.bob, SMALL)
    with pytest.raises(IntegrityError, match="another tenant"):
        claim(people.globex, people.charlie, SMALL * 2, owner)
    assert quota.ledger_differences() == []


def test_a_deleted_tenant_can_claim_nothing(people: Cast):
    Limit.objects.filter(tenant=people.globex).delete()
    with pytest.raises(NotFound):
        claim(people.globex, people.charlie, SMALL)


def test_absurd_amounts_are_refused_before_the_database_sees_them(people: Cast):
    with pytest.raises(Invalid):
        claim(people.acme, people.bob, Amounts(memory=2**60 + 1))
    with pytest.raises(ValueError, match="negative"):
        claim(people.acme, people.bob, Amounts(cpu=-1))


def test_even_unlimited_ends_before_the_counter_overflows(people: Cast):
    for _ in range(4):
        claim(people.acme, people.bob, Amounts(memory=2**60))
    with pytest.raises(QuotaExceeded) as refusal:
        claim(people.acme, people.bob, Amounts(memory=2**60))
    assert refusal.value.extra["levels"][0]["limit"] == "4Ei"


def test_admission_is_one_statement(people: Cast, django_assert_num_queries):
    with django_assert_num_queries(1):
        quota.claim_set(
            owner_id=new_id(),
            tenant_id=people.acme.pk,
            user_id=people.bob.pk,
            label="etl-1",
            site="local",
            amounts=SMALL,
        )


def test_lowering_a_limit_below_usage_names_the_excess(people: Cast):
    claim(people.acme, people.bob, Amounts(cpu=5000))
    answer = quota.limits_put(tenant_id=people.acme.pk, user_id=None, limits={"cpu": 2000, "memory": None})
    assert answer.over == [{"scope": "tenant", "resource": "cpu", "limit": "2", "held": "5", "over_by": "3"}]
    assert answer.limits[0] == {"resource": "cpu", "scope": "tenant", "limit": "2", "held": "5", "free": "0"}


def test_limits_not_named_stay(people: Cast):
    quota.limits_put(tenant_id=people.acme.pk, user_id=people.bob.pk, limits={"cpu": 2000, "gpu": 1})
    quota.limits_put(tenant_id=people.acme.pk, user_id=people.bob.pk, limits={"gpu": None})
    row = Limit.objects.get(tenant=people.acme, user=people.bob)
    assert (row.limit_cpu, row.limit_gpu) == (2000, None)


@pytest.mark.parametrize("limits", [{"cpu": -1}, {"memory": 2**60 + 1}, {"disk": 1}])
def test_impossible_limits_are_refused(people: Cast, limits: dict[str, int]):
    with pytest.raises(Invalid):
        quota.limits_put(tenant_id=people.acme.pk, user_id=None, limits=limits)


def test_preview_agrees_with_claim_set(people: Cast):
    set_limits(people.acme, cpu=8000)
    owner = claim(people.acme, people.bob, Amounts(cpu=3000))
    found = quota.preview(
        tenant_id=people.acme.pk, user_id=people.bob.pk, owner_id=owner, amounts=Amounts(cpu=9000)
    )
    assert len(found) == 10
    assert found[0] == {
        "scope": "tenant",
        "resource": "cpu",
        "limit": "8",
        "held": "3",
        "after": "9",
        "short_by": "1",
    }
    assert held(people.acme) == Amounts(cpu=3000)


def test_recompute_adds_up_per_user_and_in_all(people: Cast):
    claim(people.acme, people.bob, SMALL)
    claim(people.acme, people.alice, SMALL * 2)
    assert quota.recompute(people.acme.pk) == {
        None: SMALL * 3,
        people.bob.pk: SMALL,
        people.alice.pk: SMALL * 2,
    }


def test_a_wrong_ledger_is_reported_with_both_numbers(people: Cast):
    claim(people.acme, people.bob, SMALL)
    assert quota.ledger_differences() == []
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tenants_limit SET held_cpu = 7 WHERE user_id = %s", [people.bob.pk])
    (difference,) = quota.ledger_differences(people.acme.pk)
    assert difference == {
        "tenant_id": people.acme.pk,
        "user_id": people.bob.pk,
        "held": Amounts(7, GI, 0, GI, 1),
        "claimed": SMALL,
    }
    assert quota.ledger_differences(people.globex.pk) == []
