"""Members, their limits, and users."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth import authenticate
from django.db import connection

from tenants import quota, selectors, services
from tenants.amounts import Amounts
from tenants.errors import Conflict, Invalid, NeedsRole, NotFound
from tenants.ids import new_id
from tenants.models import ApiToken, AuditEvent, Limit, Membership, Role, User
from tenants.signals import rights_lost
from tests.cast import Cast, a_member, an_access, an_actor, cast


@pytest.fixture
def people(db: None) -> Cast:
    return cast()


def put(people: Cast, username: str, role: str, by: User | None = None) -> Membership:
    return services.member_put(
        access=an_access(by or people.alice, people.acme), username=username, role=role
    )


def remove(people: Cast, username: str, by: User | None = None) -> None:
    services.member_remove(access=an_access(by or people.alice, people.acme), username=username)


def test_a_new_member_gets_a_row_of_limits(people: Cast):
    assert put(people, "charlie", "member").role == Role.MEMBER
    assert Limit.objects.get(tenant=people.acme, user=people.charlie).limit_cpu is None
    event = AuditEvent.objects.get()
    assert (event.verb, event.target) == ("member.put", "member/charlie")
    assert event.detail == {"role": "member", "role_before": None}


def test_the_same_role_again_leaves_no_trace(people: Cast):
    put(people, "bob", "member")
    assert not AuditEvent.objects.exists()


def test_a_role_is_changed_in_place(people: Cast):
    put(people, "bob", "admin")
    assert Membership.objects.get(tenant=people.acme, user=people.bob).role == Role.ADMIN
    assert Limit.objects.filter(tenant=people.acme, user=people.bob).count() == 1


@pytest.fixture
def losses() -> Iterator[list[tuple[UUID, UUID | None]]]:
    """(user, tenant) of each rights_lost."""
    heard: list[tuple[UUID, UUID | None]] = []

    def hear(sender: object, *, user_id: UUID, tenant_id: UUID | None, **_: Any) -> None:
        heard.append((user_id, tenant_id))

    rights_lost.connect(hear)
    yield heard
    rights_lost.disconnect(hear)


def test_a_lower_role_and_a_removal_send_rights_lost(people: Cast, losses: list[Any]):
    put(people, "bob", "viewer")
    remove(people, "bob")
    assert losses == [(people.bob.pk, people.acme.pk)] * 2


def test_a_higher_role_loses_nothing(people: Cast, losses: list[Any]):
    put(people, "carol", "member")
    put(people, "charlie", "admin")
    assert losses == []


def test_the_last_admin_stays(people: Cast):
    for change in (lambda: put(people, "alice", "viewer"), lambda: remove(people, "alice")):
        with pytest.raises(Conflict) as refusal:
            change()
        assert refusal.value.reason == "LAST_ADMIN"
    put(people, "bob", "admin")
    remove(people, "alice", by=people.bob)
    assert [m.user.username for m in selectors.members(people.acme)] == ["bob", "carol"]


@pytest.mark.parametrize("role", ["", "owner", "ADMIN", None, 1, []])
def test_an_unknown_role_is_refused(people: Cast, role: str):
    with pytest.raises(Invalid) as refusal:
        put(people, "bob", role)
    assert refusal.value.errors[0]["pointer"] == "/role"


@pytest.mark.parametrize("username", ["unknown", "", "Bob", "b\x00b", "b" * 5000])
def test_an_unknown_user_is_not_found(people: Cast, username: str):
    with pytest.raises(NotFound):
        put(people, username, "member")
    with pytest.raises(NotFound):
        remove(people, username)
    with pytest.raises(NotFound):
        selectors.member(people.acme, username)


def test_a_locked_user_cannot_become_member(people: Cast):
    User.objects.filter(username="charlie").update(is_active=False)
    with pytest.raises(NotFound):
        put(people, "charlie", "member")


def test_members_and_viewers_change_no_members(people: Cast):
    for by in (people.bob, people.carol):
        with pytest.raises(NeedsRole):
            put(people, "charlie", "viewer", by=by)
        with pytest.raises(NeedsRole):
            remove(people, "carol", by=by)


def test_a_removed_member_loses_only_their_tokens_for_the_tenant(people: Cast):
    actor = an_actor(people.bob)
    services.token_create(actor=actor, name="here", tenant="acme", expires_in_days=1)
    services.token_create(actor=actor, name="anywhere", expires_in_days=1)
    remove(people, "bob")
    assert [token.name for token in ApiToken.objects.all()] == ["anywhere"]


def test_claims_of_a_former_member_stay_counted(people: Cast):
    owner = new_id()
    claim = {"owner_id": owner, "tenant_id": people.acme.pk, "user_id": people.bob.pk}
    quota.claim_set(**claim, label="etl", site="local", amounts=Amounts(cpu=1))
    remove(people, "bob")
    assert quota.ledger_differences() == []
    assert [row.user_id for row in selectors.limits(people.acme)].count(people.bob.pk) == 1
    quota.claim_release(owner_id=owner)
    assert people.bob.pk not in [row.user_id for row in selectors.limits(people.acme)]


def test_leaving_and_coming_back_restores_no_larger_limit(people: Cast):
    services.limits_put(access=an_access(people.alice, people.acme), username="bob", limits={"cpu": 1})
    remove(people, "bob")
    put(people, "bob", "member")
    assert Limit.objects.get(tenant=people.acme, user=people.bob).limit_cpu == 1


def test_a_tenant_admin_sets_members_limits_and_not_the_tenants(people: Cast):
    access = an_access(people.alice, people.acme)
    answer = services.limits_put(access=access, username="bob", limits={"cpu": 2000, "gpu": None})
    assert answer.limits[0] == {"resource": "cpu", "scope": "member", "limit": "2", "held": "0", "free": "2"}
    assert AuditEvent.objects.get().detail == {"cpu": "2", "gpu": None}
    with pytest.raises(NeedsRole):
        services.limits_put(access=access, limits={"cpu": 1})


def test_limits_of_a_user_who_is_no_member_are_not_found(people: Cast):
    for username in ("charlie", "unknown", "\x00"):
        with pytest.raises(NotFound):
            services.limits_put(
                access=an_access(people.root, people.acme), username=username, limits={"cpu": 1}
            )


def test_an_empty_set_of_limits_is_refused(people: Cast):
    with pytest.raises(Invalid):
        services.limits_put(access=an_access(people.root, people.acme), limits={})


@pytest.mark.django_db(transaction=True)
def test_two_admins_who_remove_each_other_at_once_leave_one():
    people = cast()
    a_member(people.acme, people.charlie, Role.ADMIN)
    start = Barrier(2)

    def demote(by: User, whom: str) -> str:
        try:
            access = an_access(by, people.acme)
            start.wait(30)
            services.member_remove(access=access, username=whom)
        except Conflict as refusal:
            return refusal.reason
        finally:
            connection.close()
        return "done"

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(demote, [people.alice, people.charlie], ["charlie", "alice"]))
    assert sorted(results) == ["LAST_ADMIN", "done"]


def test_a_user_can_sign_in_and_the_password_is_nowhere(people: Cast):
    user = services.user_create(
        actor=an_actor(people.root), username="dave", password="correct horse", email="dave@example.org"
    )
    assert authenticate(username="dave", password="correct horse") == user
    assert not user.is_superuser
    assert "horse" not in str(AuditEvent.objects.values_list("detail", "target").get())


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"username": "Bob:x"}, "/username"),
        ({"username": "system"}, "/username"),
        ({"password": "short"}, "/password"),
        ({"password": ""}, "/password"),
        ({"password": "x" * 1001}, "/password"),
        ({"password": None}, "/password"),
        ({"password": "password123"}, "/password"),
        ({"password": "davedave"}, "/password"),
        ({"email": "nowhere"}, "/email"),
    ],
)
def test_an_invalid_user_is_refused(people: Cast, fields: dict[str, Any], pointer: str):
    with pytest.raises(Invalid) as refusal:
        services.user_create(
            **dict[str, Any](actor=an_actor(people.root), username="davedave", password="correct horse")
            | fields
        )
    assert refusal.value.errors[0]["pointer"] == pointer


def test_a_user_name_in_use_is_refused(people: Cast):
    with pytest.raises(Conflict) as refusal:
        services.user_create(actor=an_actor(people.root), username="bob", password="correct horse")
    assert refusal.value.reason == "NAME_TAKEN"
    assert not AuditEvent.objects.exists()
