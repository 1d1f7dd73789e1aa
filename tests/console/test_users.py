"""The pages on which site admins manage users."""

import re
from typing import Any

import pytest
from django.test import Client

from tenants.models import ApiToken, User
from tests.api.api import ROOT, Api
from tests.console.conftest import SignIn, World
from tests.console.reading import read

PASSWORD = "correct horse battery"


@pytest.fixture
def root(world: World, sign_in: SignIn) -> Client:
    world.people.root.set_password(PASSWORD)
    world.people.root.save()
    return sign_in("root")


def post(client: Client, user: str, action: str, **form: Any) -> Any:
    return client.post(f"/users/u/{user}", {"action": action, "password": PASSWORD} | form)


def shown(answer: Any, ident: str) -> str:
    found = re.search(f'id="{ident}">([^<]+)<', answer.content.decode())
    return found.group(1) if found else ""


def test_a_new_person_signs_in_with_the_password_that_is_shown(root: Client) -> None:
    answer = root.post("/users/new", {"username": "dora", "kind": "person", "password": PASSWORD})
    assert answer.status_code == 201
    signed_in = Client().post("/login", {"username": "dora", "password": shown(answer, "temporary")})
    assert signed_in.status_code == 302


def test_a_service_account_gets_its_token_on_its_page(root: Client) -> None:
    root.post("/users/new", {"username": "ci", "kind": "service", "password": PASSWORD})
    answer = post(root, "ci", "token", name="nightly", days="30")
    secret = shown(answer, "secret")
    assert Api(secret).get(f"{ROOT}/me").body["user"] == "ci"
    token = ApiToken.objects.get()
    assert root.post(f"/users/u/ci/tokens/{token.id}/revoke").status_code == 303
    assert Api(secret).get(f"{ROOT}/me").status == 401


def test_a_user_is_disabled_and_enabled(root: Client, sign_in: SignIn) -> None:
    bob = sign_in("bob")
    assert post(root, "bob", "disable").status_code == 303
    assert bob.get("/account").status_code == 302
    post(root, "bob", "enable")
    assert User.objects.get(username="bob").is_active


def test_site_admins_are_granted_and_revoked_but_the_last_one_stays(root: Client) -> None:
    post(root, "bob", "promote")
    assert User.objects.get(username="bob").is_superuser
    post(root, "bob", "demote")
    answer = post(root, "root", "demote")
    assert answer.status_code == 409
    assert "last site admin" in answer.content.decode()


def test_a_lost_password_is_replaced_by_a_temporary_one(root: Client) -> None:
    temporary = shown(post(root, "bob", "reset"), "temporary")
    assert Client().post("/login", {"username": "bob", "password": temporary}).status_code == 302


def test_nothing_is_changed_without_the_password_of_the_admin(root: Client) -> None:
    for name in ("disable", "reset", "promote"):
        assert post(root, "bob", name, password="wrong").status_code == 400
    bob = User.objects.get(username="bob")
    assert (bob.is_active, bob.is_superuser, bob.password_temporary_until) == (True, False, None)


def test_the_page_names_what_a_user_leaves_before_the_deletion(root: Client, world: World) -> None:
    cluster = world.launch("one")
    page = root.get("/users/u/bob/delete")
    assert f"/t/acme/clusters/{cluster.pk}" in read(page).links
    assert "continue to run" in page.content.decode()
    assert "will have no admin" in root.get("/users/u/alice/delete").content.decode()


def test_a_user_is_deleted_by_typing_the_name(root: Client) -> None:
    wrong = root.post("/users/u/bob/delete", {"name": "alice", "password": PASSWORD})
    assert wrong.status_code == 400
    done = root.post("/users/u/bob/delete", {"name": "bob", "password": PASSWORD})
    assert done.headers["Location"] == "/users"
    assert root.get("/users/u/bob").status_code == 404


def test_the_list_is_for_site_admins_and_paged(
    root: Client, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.console.users.PAGE", 2)
    assert "?after=bob" in read(root.get("/users")).links
    assert sign_in("alice").get("/users").status_code == 403


def test_a_forged_page_of_another_users_token_is_refused_to_others(sign_in: SignIn, world: World) -> None:
    token = ApiToken.objects.create(user=world.people.bob, name="ci")[0]  # type: ignore[no-untyped-call]
    assert sign_in("alice").post(f"/users/u/bob/tokens/{token.id}/revoke").status_code == 403
