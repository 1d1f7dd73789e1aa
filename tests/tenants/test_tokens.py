"""API tokens are stored as hashes, limited by scopes, tenant and time, and shown once."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from knox.auth import TokenAuthentication
from rest_framework.exceptions import AuthenticationFailed

from tenants import selectors, services
from tenants.access import tenant_for
from tenants.actors import actor_for
from tenants.errors import Conflict, Invalid, NeedsRole, NeedsScope, NotFound
from tenants.ids import new_id
from tenants.models import ApiToken, AuditEvent, User
from tenants.services import tokens
from tests.cast import Cast, an_actor, cast

pytestmark = pytest.mark.django_db


@pytest.fixture
def people() -> Cast:
    return cast()


def authenticate(secret: str) -> tuple[User, ApiToken]:
    found: tuple[User, ApiToken] = TokenAuthentication().authenticate_credentials(  # type: ignore[no-untyped-call]
        secret.encode()
    )
    return found


def test_the_secret_authenticates_and_is_stored_nowhere(people: Cast):
    token, secret = services.token_create(actor=an_actor(people.bob), name="ci", expires_in_days=90)
    user, found = authenticate(secret)
    assert (user, found) == (people.bob, token)
    assert secret.startswith("slw_")
    stored = str(ApiToken.objects.values().get()) + str(AuditEvent.objects.values().get())
    assert secret not in stored
    assert token.digest not in str(AuditEvent.objects.values().get())


def test_the_token_has_its_owners_rights_limited_to_its_scopes_and_tenant(people: Cast):
    token, _ = services.token_create(
        actor=an_actor(people.bob), name="ci", tenant="acme", scopes=["clusters:write"], expires_in_days=90
    )
    actor = actor_for(people.bob, token=token, request_id="r-1")
    assert (actor.user_id, actor.tenant_id, actor.via) == (people.bob.pk, people.acme.pk, "token")
    assert actor.has_scope("clusters:read")
    assert not actor.has_scope("templates:read")
    assert tenant_for(actor, "acme").can("member")


def test_a_token_expires(people: Cast):
    token, secret = services.token_create(actor=an_actor(people.bob), name="ci", expires_in_days=1)
    assert token.expiry is not None
    assert timedelta(hours=23) < token.expiry - timezone.now() <= timedelta(days=1)
    ApiToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    with pytest.raises(AuthenticationFailed):
        authenticate(secret)


def test_a_revoked_token_is_dead(people: Cast):
    token, secret = services.token_create(actor=an_actor(people.bob), name="ci", expires_in_days=1)
    services.token_revoke(actor=an_actor(people.bob), token_id=token.id)
    with pytest.raises(AuthenticationFailed):
        authenticate(secret)
    assert AuditEvent.objects.latest("at").verb == "token.revoke"


def test_others_tokens_are_not_found_but_a_site_admin_may_revoke_them(people: Cast):
    token, _ = services.token_create(actor=an_actor(people.bob), name="ci", expires_in_days=1)
    for actor in (an_actor(people.alice), an_actor(people.bob, bound_to=people.acme)):
        with pytest.raises(NotFound):
            services.token_revoke(actor=actor, token_id=token.id)
        with pytest.raises(NotFound):
            selectors.token(actor, token.id)
    services.token_revoke(actor=an_actor(people.root), token_id=token.id)
    with pytest.raises(NotFound):
        services.token_revoke(actor=an_actor(people.root), token_id=new_id())


def test_a_token_for_a_foreign_tenant_is_not_found(people: Cast):
    with pytest.raises(NotFound):
        services.token_create(actor=an_actor(people.bob), name="ci", tenant="globex", expires_in_days=1)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": "x" * 101}, "/name"),
        ({"expires_in_days": 0}, "/expires_in_days"),
        ({"expires_in_days": 366}, "/expires_in_days"),
        ({"expires_in_days": True}, "/expires_in_days"),
        ({"expires_in_days": "90"}, "/expires_in_days"),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["clusters:read", "all"]}, "/scopes/1"),
        ({"scopes": "clusters:read"}, "/scopes/0"),
    ],
)
def test_an_invalid_token_request_is_refused(people: Cast, fields: dict[str, Any], pointer: str):
    with pytest.raises(Invalid) as refusal:
        services.token_create(
            **dict[str, Any](actor=an_actor(people.bob), name="ci", expires_in_days=1) | fields
        )
    assert refusal.value.errors[0]["pointer"] == pointer


def test_a_token_makes_no_token_with_more_rights(people: Cast):
    narrow = an_actor(people.bob, scopes={"tokens:write", "clusters:write"})
    services.token_create(actor=narrow, name="ci", scopes=["clusters:read"], expires_in_days=1)
    for scopes in (None, ["templates:read"]):
        with pytest.raises(NeedsScope):
            services.token_create(actor=narrow, name="ci", scopes=scopes, expires_in_days=1)
    with pytest.raises(NeedsScope):
        services.token_create(
            actor=an_actor(people.bob, scopes={"clusters:write"}),
            name="ci",
            scopes=["clusters:write"],
            expires_in_days=1,
        )


def test_a_bound_token_makes_no_unbound_token(people: Cast):
    bound = an_actor(people.bob, bound_to=people.acme)
    services.token_create(actor=bound, name="ci", tenant="acme", expires_in_days=1)
    with pytest.raises(NeedsRole):
        services.token_create(actor=bound, name="ci", expires_in_days=1)


def test_tokens_are_bounded_in_number(people: Cast, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tokens, "_MOST_TOKENS", 1)
    services.token_create(actor=an_actor(people.bob), name="ci", expires_in_days=1)
    with pytest.raises(Conflict) as refusal:
        services.token_create(actor=an_actor(people.bob), name="ci", expires_in_days=1)
    assert refusal.value.reason == "TOO_MANY"


def test_use_is_noted_at_most_once_a_minute(people: Cast, django_assert_num_queries):
    token, _ = services.token_create(actor=an_actor(people.bob), name="ci", expires_in_days=1)
    used_at = []
    for _ in range(2):
        services.token_used(token)
        used_at.append(ApiToken.objects.get().last_used_at)
    assert used_at[0] is not None
    assert used_at[0] == used_at[1]


def test_the_own_tokens_are_listed_oldest_first(people: Cast):
    actor = an_actor(people.bob)
    for name, tenant in (("one", None), ("two", "acme"), ("three", None)):
        services.token_create(actor=actor, name=name, tenant=tenant, expires_in_days=1)
    assert [token.name for token in selectors.tokens_of(actor)] == ["one", "two", "three"]
    bound = an_actor(people.bob, bound_to=people.acme)
    assert [token.name for token in selectors.tokens_of(bound)] == ["two"]
    assert not selectors.tokens_of(an_actor(people.alice)).exists()
