"""The selectors: what they return, to whom, and in how many queries."""

import pytest
from django.db import transaction

from tenants import quota, selectors
from tenants.amounts import Amounts
from tenants.errors import NeedsRole
from tenants.ids import new_id
from tenants.models import Role, Tenant, TenantState
from tests.cast import Cast, a_member, an_actor, cast, set_limits

pytestmark = pytest.mark.django_db


@pytest.fixture
def people() -> Cast:
    return cast()


def claim(people: Cast, label: str, cores: int) -> None:
    with transaction.atomic():
        quota.claim_set(
            owner_id=new_id(),
            tenant_id=people.acme.pk,
            user_id=people.bob.pk,
            label=label,
            site="local",
            amounts=Amounts(cpu=cores * 1000),
        )


def test_members_see_their_own_tenants_and_site_admins_all(people: Cast):
    a_member(people.globex, people.bob, Role.VIEWER)
    names = {
        user.username: [(t.name, t.asker_role) for t in selectors.tenants_of(an_actor(user))]
        for user in (people.alice, people.bob, people.root)
    }
    assert names == {
        "alice": [("acme", "admin")],
        "bob": [("acme", "member"), ("globex", "viewer")],
        "root": [("acme", None), ("globex", None)],
    }


def test_a_bound_token_sees_only_its_tenant(people: Cast):
    a_member(people.globex, people.bob, Role.VIEWER)
    bound = an_actor(people.bob, bound_to=people.globex)
    assert [tenant.name for tenant in selectors.tenants_of(bound)] == ["globex"]
    assert selectors.roles_of(bound) == [{"name": "globex", "role": "viewer"}]


def test_deleted_tenants_are_in_no_list(people: Cast):
    Tenant.objects.filter(name="acme").update(state=TenantState.DELETED)
    assert not selectors.tenants_of(an_actor(people.alice)).exists()
    assert selectors.roles_of(an_actor(people.alice)) == []


def test_usage_says_limit_held_and_free_per_scope(people: Cast):
    set_limits(people.acme, cpu=8000)
    set_limits(people.acme, people.bob, cpu=2000)
    claim(people, "etl-1", 2)
    set_limits(people.acme, people.bob, cpu=1000)
    usage = selectors.usage(people.acme, people.bob.pk)
    assert [row for row in usage.limits if row["resource"] == "cpu"] == [
        {"resource": "cpu", "scope": "tenant", "limit": "8", "held": "2", "free": "6"},
        {"resource": "cpu", "scope": "member", "limit": "1", "held": "2", "free": "0"},
    ]
    (held,) = usage.holders
    assert (held["cluster"], held["owner"], held["holds"]["cpu"]) == ("etl-1", "bob", "2")
    assert usage.limits[1] == {
        "resource": "memory",
        "scope": "tenant",
        "limit": None,
        "held": "0",
        "free": None,
    }


def test_usage_takes_the_same_number_of_queries_for_any_number_of_claims(
    people: Cast, django_assert_num_queries
):
    for number in range(3):
        claim(people, f"etl-{number}", 1)
    with django_assert_num_queries(2):
        assert len(selectors.usage(people.acme).holders) == 3


def test_members_come_by_name_with_their_users_in_one_query(people: Cast, django_assert_num_queries):
    with django_assert_num_queries(1):
        names = [(m.user.username, m.role) for m in selectors.members(people.acme)]
    assert names == [("alice", "admin"), ("bob", "member"), ("carol", "viewer")]


def test_limits_come_tenant_first_then_members_by_name(people: Cast, django_assert_num_queries):
    a_member(people.globex, people.bob, Role.VIEWER)
    with django_assert_num_queries(1):
        rows = [row.user and row.user.username for row in selectors.limits(people.acme)]
    assert rows == [None, "alice", "bob", "carol"]


def test_users_are_for_site_admins(people: Cast):
    assert [u.username for u in selectors.users(an_actor(people.root))] == [
        "alice",
        "bob",
        "carol",
        "charlie",
        "root",
    ]
    with pytest.raises(NeedsRole):
        selectors.users(an_actor(people.alice))


def test_membership_is_answered_for_any_or_for_one_role(people: Cast):
    assert selectors.is_member(people.acme.pk, people.bob.pk)
    assert not selectors.is_member(people.acme.pk, people.bob.pk, Role.ADMIN)
    assert not selectors.is_member(people.globex.pk, people.bob.pk)
