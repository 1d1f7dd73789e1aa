"""Users are created, disabled and deleted, with effects on their rights."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from django.utils import timezone

from tenants import selectors, services
from tenants.errors import Conflict, Invalid, NeedsRole, NeedsScope, NotFound, WrongPassword
from tenants.models import ApiToken, AuditEvent, Membership, User
from tenants.signals import rights_lost
from tests.cast import Cast, a_user, an_access, an_actor, cast

PASSWORD = "correct horse battery"
pytestmark = pytest.mark.django_db


@pytest.fixture
def people() -> Cast:
    found = cast()
    found.bob.set_password(PASSWORD)
    found.bob.save()
    return found


def by_root(people: Cast, service: Callable[..., Any], username: str = "bob", **more: Any) -> Any:
    return service(actor=an_actor(people.root), username=username, **more)


def sign_in(password: str = PASSWORD, username: str = "bob") -> User:
    return services.sign_in(username=username, password=password, address="192.0.2.1", via="session")


def token_of(user: User) -> ApiToken:
    return services.token_create(actor=an_actor(user), name="ci")[0]


@pytest.mark.parametrize("end", [services.user_disable, services.user_delete])
def test_a_user_who_is_locked_out_has_no_session_and_no_token(people: Cast, end: Callable[..., Any]):
    token_of(people.bob)
    browser = Client()
    browser.force_login(people.bob)
    by_root(people, end)
    assert not ApiToken.objects.filter(user=people.bob).exists()
    assert browser.get("/t/acme/").status_code == 302
    with pytest.raises(WrongPassword):
        sign_in()


@pytest.mark.parametrize("end", [services.user_disable, services.user_delete])
def test_lost_rights_are_sent_as_a_signal(people: Cast, end: Callable[..., Any]):
    heard: list[tuple[UUID, UUID | None]] = []

    def hear(sender: object, *, user_id: UUID, tenant_id: UUID | None, **_: Any) -> None:
        heard.append((user_id, tenant_id))

    rights_lost.connect(hear)
    by_root(people, end)
    rights_lost.disconnect(hear)
    assert heard == [(people.bob.pk, None)]


def test_a_user_who_is_enabled_again_signs_in_and_old_sessions_stay_ended(people: Cast):
    browser = Client()
    browser.force_login(people.bob)
    by_root(people, services.user_disable)
    by_root(people, services.user_enable)
    assert browser.get("/t/acme/").status_code == 302
    assert sign_in() == people.bob


def test_a_deleted_user_leaves_every_tenant_and_the_name_is_not_given_again(people: Cast):
    by_root(people, services.user_delete)
    assert not Membership.objects.filter(user=people.bob).exists()
    assert "bob" not in [user.username for user in selectors.users(an_actor(people.root))]
    with pytest.raises(Conflict) as taken:
        by_root(people, services.user_create, password=PASSWORD)
    assert taken.value.reason == "NAME_TAKEN"
    with pytest.raises(NotFound):
        by_root(people, services.user_enable)


def test_the_audit_keeps_the_name_of_a_deleted_user(people: Cast):
    token_of(people.bob)
    by_root(people, services.user_delete)
    assert AuditEvent.objects.get(verb="token.create").actor_name == "bob"
    assert AuditEvent.objects.get(verb="member.remove").target == "member/bob"
    assert AuditEvent.objects.get(verb="user.delete").detail == {"tenants": ["acme"], "tokens_ended": 1}


@pytest.mark.parametrize(
    "end",
    [
        services.user_disable,
        services.user_delete,
        lambda **who: services.user_update(**who, site_admin=False),
    ],
)
def test_the_last_site_admin_stays(people: Cast, end: Callable[..., Any]):
    by_root(people, services.service_create, "robot", site_admin=True)
    with pytest.raises(Conflict) as refusal:
        by_root(people, end, "root")
    assert refusal.value.reason == "LAST_SITE_ADMIN"
    a_user("ruth", site_admin=True)
    by_root(people, end, "root")


def test_a_disabled_member_can_be_taken_out_of_a_tenant(people: Cast):
    by_root(people, services.user_disable)
    services.member_remove(access=an_access(people.alice, people.acme), username="bob")
    assert not Membership.objects.filter(user=people.bob).exists()


def test_a_reset_password_is_temporary_and_ends_tokens(people: Cast):
    token_of(people.bob)
    user, temporary = by_root(people, services.password_reset)
    assert not ApiToken.objects.filter(user=people.bob).exists()
    assert user.password_temporary_until > timezone.now()
    assert sign_in(temporary).password_temporary_until is not None
    with pytest.raises(WrongPassword):
        sign_in()
    User.objects.filter(username="bob").update(password_temporary_until=timezone.now() - timedelta(seconds=1))
    with pytest.raises(WrongPassword) as expired:
        sign_in(temporary)
    assert "expired" in expired.value.detail


def test_users_cannot_reset_their_own_password_or_that_of_a_service_account(people: Cast):
    by_root(people, services.service_create, "robot")
    for name, reason in (("root", "OWN_PASSWORD"), ("robot", "SERVICE_ACCOUNT")):
        with pytest.raises(Conflict) as refusal:
            by_root(people, services.password_reset, name)
        assert refusal.value.reason == reason


def test_a_changed_password_ends_other_tokens_and_other_sessions(people: Cast):
    kept, gone = token_of(people.bob), token_of(people.bob)
    browser = Client()
    browser.force_login(people.bob)
    services.password_change(
        actor=an_actor(people.bob), current=PASSWORD, new="another good one", keep=kept.id
    )
    assert list(ApiToken.objects.filter(user=people.bob)) == [kept] != [gone]
    assert browser.get("/t/acme/").status_code == 302
    assert sign_in("another good one")


@pytest.mark.parametrize(
    ("current", "new", "pointer"),
    [
        ("wrong", "another good one", "/current_password"),
        (PASSWORD, "short", "/new_password"),
        (PASSWORD, PASSWORD, "/new_password"),
    ],
)
def test_a_password_that_cannot_be_changed_says_why(people: Cast, current: str, new: str, pointer: str):
    with pytest.raises(Invalid) as refusal:
        services.password_change(actor=an_actor(people.bob), current=current, new=new)
    assert refusal.value.errors[0]["pointer"] == pointer


def test_a_service_account_has_tokens_made_by_site_admins_and_cannot_sign_in(people: Cast):
    robot = by_root(people, services.service_create, "robot")
    token, secret = by_root(people, services.service_token_create, "robot", name="ci", scopes=["sites:read"])
    assert (token.user, token.scopes, secret[:4]) == (robot, ["sites:read"], "slw_")
    with pytest.raises(WrongPassword):
        sign_in("", "robot")
    with pytest.raises(Conflict) as people_only:
        by_root(people, services.service_token_create, "bob", name="ci")
    assert people_only.value.reason == "NOT_A_SERVICE"
    with pytest.raises(Invalid) as stranger:
        by_root(people, services.service_token_create, "robot", name="ci", tenant="acme")
    assert stranger.value.errors[0]["pointer"] == "/tenant"


def test_a_token_makes_no_service_token_with_more_than_it_has(people: Cast):
    by_root(people, services.service_create, "robot")
    narrow = an_actor(people.root, scopes={"users:write"})
    with pytest.raises(NeedsScope):
        services.service_token_create(actor=narrow, username="robot", name="ci", scopes=["clusters:write"])


def test_accounts_are_for_site_admins(people: Cast):
    for call in (
        services.user_disable,
        services.user_enable,
        services.user_delete,
        services.user_update,
        services.password_reset,
        services.service_create,
        services.user_invite,
        lambda **who: services.service_token_create(**who, name="ci"),
    ):
        with pytest.raises(NeedsRole):
            call(actor=an_actor(people.alice), username="bob")
        with pytest.raises(NeedsScope):
            call(actor=an_actor(people.root, scopes={"tenants:write"}), username="bob")


def test_every_session_ends_at_once(people: Cast):
    browser = Client()
    browser.force_login(people.bob)
    services.sessions_end(actor=an_actor(people.bob))
    assert browser.get("/t/acme/").status_code == 302
