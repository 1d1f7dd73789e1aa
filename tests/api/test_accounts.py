"""Accounts by API: first tokens by password, own passwords, users by site admins."""

from base64 import b64encode

import pytest

from controlplane.api.documents import openapi_document
from tenants.models import ApiToken, AuditEvent, User
from tests.api.api import ROOT, Answer, Api
from tests.api.conftest import World

PASSWORD = "correct horse battery"
USERS = f"{ROOT}/users"


@pytest.fixture
def bob(world: World) -> User:
    world.people.bob.set_password(PASSWORD)
    world.people.bob.save()
    return world.people.bob


def basic(name: str, password: str) -> str:
    return f"Basic {b64encode(f'{name}:{password}'.encode()).decode()}"


def first_token(password: str = PASSWORD, name: str = "bob") -> Answer:
    return Api().post(f"{ROOT}/tokens", {"name": "laptop"}, Authorization=basic(name, password))


def test_a_command_line_gets_its_first_token_by_name_and_password(bob: User) -> None:
    made = first_token()
    assert made.status == 201
    assert Api(made.body["token"]).get(f"{ROOT}/me").body["user"] == "bob"
    assert AuditEvent.objects.get(verb="token.create").via == "password"


def test_name_and_password_open_no_other_route(bob: User) -> None:
    for method, path in (("GET", "tokens"), ("GET", "me"), ("POST", "me:end-sessions"), ("POST", "users")):
        assert Api().call(method, f"{ROOT}/{path}", Authorization=basic("bob", PASSWORD)).status == 401


@pytest.mark.parametrize(("name", "password"), [("bob", "wrong"), ("zoe", PASSWORD), ("b\0b", "a\0b")])
def test_wrong_passwords_get_no_token_and_are_throttled(bob: User, name: str, password: str) -> None:
    answers = [first_token(password, name) for _ in range(8)]
    assert {answer.status for answer in answers} == {401, 429}
    assert answers[-1].status == 429
    assert int(answers[-1].headers["Retry-After"]) >= 1


@pytest.mark.parametrize("header", ["Basic", "Basic !", "Basic Ym9i", "Basic /////w=="])
def test_a_malformed_header_is_answered_with_the_expected_form(world: World, header: str) -> None:
    answer = Api().post(f"{ROOT}/tokens", {"name": "laptop"}, Authorization=header)
    assert (answer.status, answer.reason) == (401, "UNAUTHENTICATED")


def test_a_temporary_password_makes_no_token(world: World, bob: User) -> None:
    given = world.root.post(f"{USERS}/bob:reset-password").body["temporary_password"]
    assert "temporary" in first_token(given).body["detail"]


def test_the_description_says_how_the_first_token_is_made(world: World) -> None:
    document = openapi_document()
    assert document["components"]["securitySchemes"]["password"]["scheme"] == "basic"
    assert {"password": []} in document["paths"][f"{ROOT}/tokens"]["post"]["security"]
    assert {"password": []} not in document["paths"][f"{ROOT}/tokens"]["get"]["security"]


def test_wrong_tokens_are_throttled_and_valid_ones_from_the_same_address_are_not(world: World) -> None:
    answers = [Api("slw_wrong").get(f"{ROOT}/me") for _ in range(40)]
    assert (answers[0].status, answers[-1].status) == (401, 429)
    assert answers[-1].reason == "TOO_MANY_ATTEMPTS"
    assert "Retry-After" in answers[-1].headers
    assert world.bob.get(f"{ROOT}/me").status == 200


def test_changing_the_password_keeps_the_token_of_the_request_and_revokes_the_others(
    world: World, bob: User
) -> None:
    other = first_token().body["token"]
    body = {"current_password": PASSWORD, "new_password": "another good one"}
    assert world.bob.put(f"{ROOT}/me/password", body).status == 204
    assert world.bob.get(f"{ROOT}/me").status == 200
    assert Api(other).get(f"{ROOT}/me").status == 401


def test_guessing_the_own_password_is_throttled_also_with_an_idempotency_key(world: World, bob: User) -> None:
    body = {"current_password": "wrong", "new_password": "another good one"}
    answers = [
        world.bob.put(f"{ROOT}/me/password", body, Idempotency_Key=f"k{number}").status for number in range(8)
    ]
    assert answers[-1] == 429


def test_a_person_is_created_with_a_temporary_password_that_is_shown_once(world: World) -> None:
    body = {"username": "dora"}
    made = world.root.post(USERS, body, Idempotency_Key="once")
    assert made.status == 201
    assert made.body["temporary_password"]
    assert world.root.post(USERS, body, Idempotency_Key="once").body["temporary_password"] is None


def test_a_service_account_gets_its_token_from_a_site_admin(world: World) -> None:
    assert world.root.post(USERS, {"username": "ci", "kind": "service"}).body["kind"] == "service"
    made = world.root.post(f"{USERS}/ci/tokens", {"name": "nightly", "scopes": ["sites:read"]})
    assert Api(made.body["token"]).get(f"{ROOT}/sites").status == 200
    assert world.root.delete(f"{ROOT}/tokens/{made.body['id']}").status == 204


def test_the_plan_of_a_deletion_names_what_the_user_leaves(world: World) -> None:
    world.launch("one")
    found = world.root.get(f"{USERS}/bob").body
    assert found["clusters"] == [{"tenant": "acme", "cluster": "one"}]
    assert found["tenants"] == [{"name": "acme", "role": "member", "last_admin": False}]
    assert world.root.get(f"{USERS}/alice").body["tenants"][0]["last_admin"] is True


def test_a_disabled_user_is_locked_out_at_once_and_a_deleted_one_is_not_found(world: World) -> None:
    assert world.root.post(f"{USERS}/bob:disable").body["active"] is False
    assert world.bob.get(f"{ROOT}/me").status == 401
    assert world.root.post(f"{USERS}/bob:enable").body["active"] is True
    assert world.root.delete(f"{USERS}/bob").status == 204
    assert world.root.get(f"{USERS}/bob").status == 404


def test_a_token_of_a_user_who_is_not_active_opens_nothing(world: World) -> None:
    User.objects.filter(username="bob").update(is_active=False)
    assert world.bob.get(f"{ROOT}/me").status == 401


def test_the_cluster_of_a_deleted_user_runs_on_and_an_admin_stops_it(world: World) -> None:
    world.ready("one")
    world.root.delete(f"{USERS}/bob")
    assert world.alice.get("clusters/one").body["owner"] == "bob"
    assert world.alice.post("clusters/one:stop").status == 202


def test_a_request_on_an_unknown_user_names_what_is_missing(world: World) -> None:
    world.launch("one")
    assert world.alice.put("members/zoe", {"role": "viewer"}).reason == "NO_SUCH_USER"
    assert world.alice.delete("members/zoe").reason == "NO_SUCH_MEMBER"
    assert world.alice.put("limits/members/zoe", {"cpu": "1"}).reason == "NO_SUCH_MEMBER"
    assert world.bob.put("clusters/one/shares/zoe").reason == "NO_SUCH_MEMBER"
    assert world.bob.delete("clusters/one/shares/dave").reason == "NOT_SHARED"
    assert ApiToken.objects.exists()


def test_an_admin_reads_the_limits_of_the_members(world: World) -> None:
    world.alice.put("limits/members/bob", {"cpu": "2"})
    [cpu] = [row for row in world.alice.get("limits/members/bob").body["limits"] if row["resource"] == "cpu"]
    assert (cpu["scope"], cpu["limit"]) == ("member", "2")
    listed = world.alice.get("limits/members").body["items"]
    assert [row["user"] for row in listed] == ["alice", "bob", "carol", "dave"]
    assert world.alice.get("limits").body["limits"][0]["scope"] == "tenant"
