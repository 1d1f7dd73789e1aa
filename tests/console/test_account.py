"""The page of the user's own account: password, sessions and API tokens."""

import re
from typing import Any

import pytest
from django.test import Client

from tenants import services
from tenants.models import ApiToken, User
from tests.api.api import ROOT, Api
from tests.cast import an_actor
from tests.console.conftest import SignIn, World
from tests.console.reading import read

PASSWORD = "correct horse battery"
NEW = {"current": PASSWORD, "new": "another good one", "again": "another good one"}


@pytest.fixture
def bob(world: World, sign_in: SignIn) -> Client:
    world.people.bob.set_password(PASSWORD)
    world.people.bob.save()
    return sign_in("bob")


def make(client: Client, **form: Any) -> tuple[int, str]:
    """The status and the secret on the page."""
    answer = client.post("/account/tokens", {"name": "laptop", "days": "30", "password": PASSWORD} | form)
    found = re.search('id="secret">([^<]+)<', answer.content.decode())
    return answer.status_code, found.group(1) if found else ""


def test_an_ordinary_user_makes_a_token_in_the_console(bob: Client) -> None:
    status, secret = make(bob)
    assert status == 201
    assert Api(secret).get(f"{ROOT}/me").body["user"] == "bob"
    assert secret not in bob.get("/account/tokens").content.decode()


def test_a_token_can_be_limited_to_a_tenant_and_scopes(bob: Client) -> None:
    make(bob, tenant="acme", reach="some", scopes=["clusters:read", "sites:read"])
    token = ApiToken.objects.get()
    assert (token.tenant.name, token.scopes) == ("acme", ["clusters:read", "sites:read"])


@pytest.mark.parametrize(
    ("form", "status", "words"),
    [
        ({"password": "wrong"}, 400, "not your password"),
        ({"name": ""}, 400, "Use 1 to 100"),
        ({"reach": "some"}, 400, "at least one scope"),
        ({"tenant": "globex"}, 404, "nothing here"),
    ],
)
def test_an_invalid_token_request_says_why(
    bob: Client, form: dict[str, str], status: int, words: str
) -> None:
    answer = bob.post("/account/tokens", {"name": "laptop", "days": "30", "password": PASSWORD} | form)
    assert answer.status_code == status
    assert words in answer.content.decode()
    assert not ApiToken.objects.exists()


def test_guessing_the_password_in_the_form_is_throttled(bob: Client) -> None:
    assert 429 in [make(bob, password="wrong")[0] for _ in range(10)]
    assert make(bob)[0] == 429


def test_a_user_revokes_only_their_own_tokens(bob: Client, world: World) -> None:
    _, secret = make(bob)
    mine = ApiToken.objects.get()
    theirs, _ = services.token_create(actor=an_actor(world.people.alice), name="hers")
    assert bob.post(f"/account/tokens/{theirs.id}/revoke").status_code == 404
    assert bob.post(f"/account/tokens/{mine.id}/revoke").status_code == 303
    assert Api(secret).get(f"{ROOT}/me").status == 401


@pytest.mark.parametrize("page", ["/t/acme/", "/t/acme/clusters", "/account/tokens"])
def test_a_page_that_mentions_tokens_links_to_the_page_that_makes_them(bob: Client, page: str) -> None:
    assert "/account/tokens" in read(bob.get(page)).links


def test_a_new_password_keeps_this_session_and_ends_the_others_and_tokens(
    bob: Client, sign_in: SignIn
) -> None:
    other = sign_in("bob")
    _, secret = make(bob)
    assert bob.post("/account", NEW).status_code == 303
    assert bob.get("/account").status_code == 200
    assert other.get("/account").status_code == 302
    assert Api(secret).get(f"{ROOT}/me").status == 401


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"current": "wrong"}, "not your password"),
        ({"again": "else"}, "passwords differ"),
        ({"new": "short", "again": "short"}, "too short"),
    ],
)
def test_a_password_that_cannot_be_changed_says_why(bob: Client, form: dict[str, str], words: str) -> None:
    answer = bob.post("/account", NEW | form)
    assert answer.status_code == 400
    assert words in answer.content.decode()


def test_signing_out_everywhere_keeps_this_session(bob: Client, sign_in: SignIn) -> None:
    other = sign_in("bob")
    assert bob.post("/account/sign-out-everywhere").status_code == 303
    assert bob.get("/account").status_code == 200
    assert other.get("/account").status_code == 302


def test_a_temporary_password_opens_only_the_page_that_changes_it(world: World) -> None:
    _, temporary = services.password_reset(actor=an_actor(world.people.root), username="bob")
    client = Client()
    client.post("/login", {"username": "bob", "password": temporary})
    for path in ("/", "/t/acme/", "/account/tokens"):
        assert client.get(path).headers["Location"] == "/account"
    assert "temporary" in client.get("/account").content.decode()
    assert client.post("/account", NEW | {"current": temporary}).status_code == 303
    assert client.get("/t/acme/").status_code == 200
    assert User.objects.get(username="bob").password_temporary_until is None
