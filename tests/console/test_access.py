"""Every route for every kind of user: who gets the page, who gets 403 with the missing role, and who gets 404."""

from collections.abc import Iterable

import pytest
from django.test import Client
from django.urls import URLPattern

from controlplane.console import urls
from tenants.ids import new_id
from tenants.models import AuditEvent
from tests.console.conftest import SignIn, World
from tests.reconciler.settling import settle

EVERYBODY = {"alice", "bob", "carol", "charlie", "root"}
SEES = {"alice", "bob", "carol", "root"}
OPERATES = {"alice", "bob", "root"}
LAUNCHES = {"alice", "bob"}

# By URL name: method, path, who gets the page. Other members of acme get 403, and outsiders 404.
ROUTES = {
    "home": ("GET", "/t/acme/", SEES),
    "launch": ("POST", "/t/acme/launch", LAUNCHES),
    "clusters": ("GET", "/t/acme/clusters", SEES),
    "cluster": ("GET", "/t/acme/clusters/one", SEES),
    "resize": ("GET", "/t/acme/clusters/one/resize", OPERATES),
    "delete": ("GET", "/t/acme/clusters/one/delete", OPERATES),
    "verb": ("POST", "/t/acme/clusters/one/restart", OPERATES),
    "log": ("GET", "/t/acme/clusters/one/nodes/head-0/log", OPERATES),
    "start": ("GET", "/", EVERYBODY),
    "tenants": ("GET", "/tenants", {"root"}),
    "account": ("GET", "/account", EVERYBODY),
    "sign_out_everywhere": ("POST", "/account/sign-out-everywhere", EVERYBODY),
    "tokens": ("GET", "/account/tokens", EVERYBODY),
    "users": ("GET", "/users", {"root"}),
    "user_new": ("GET", "/users/new", {"root"}),
    "user": ("GET", "/users/u/bob", {"root"}),
    "user_delete": ("GET", "/users/u/bob/delete", {"root"}),
}
# The first need no signed-in user. The others need the id of a token, see test_account and test_users.
OPEN = {"login", "logout", None, "token_end", "user_token_end"}


def patterns() -> Iterable[URLPattern]:
    return (pattern for pattern in urls.urlpatterns if isinstance(pattern, URLPattern))


def send(client: Client, route: str) -> int:
    method, path, _ = ROUTES[route]
    if method == "GET":
        return client.get(path).status_code
    return client.post(path, {"template": "pair", "name": "another"}).status_code


def expected(who: str, allowed: set[str], path: str) -> int:
    if who in allowed:
        return 200
    return 404 if who == "charlie" and path.startswith("/t/") else 403


def test_every_route_is_in_the_table() -> None:
    assert {pattern.name for pattern in patterns()} - OPEN == set(ROUTES)


@pytest.mark.parametrize("who", sorted(EVERYBODY))
def test_every_route_for_everybody(sign_in: SignIn, world: World, who: str) -> None:
    settle(world.launch())
    client = sign_in(who)
    for route, (_, path, allowed) in ROUTES.items():
        status = send(client, route)
        assert (200 if status in {200, 303} else status) == expected(who, allowed, path), route
    print(f"{who}: {len(ROUTES)} routes")


def test_a_visitor_without_a_session_is_sent_to_sign_in(world: World) -> None:
    settle(world.launch())
    for route in ROUTES:
        assert send(Client(), route) == 302, route


@pytest.mark.parametrize("route", sorted(name for name, (_, path, _) in ROUTES.items() if "one" in path))
def test_foreign_deleted_and_unknown_clusters_look_the_same(
    sign_in: SignIn, world: World, route: str
) -> None:
    foreign = settle(world.launch())
    answers = set()
    client = sign_in("charlie")
    for ident in ("one", str(foreign.id), str(new_id()), "nothing", "..", "%00", "a" * 500):
        for tenant in ("acme", "globex"):
            method, path, _ = ROUTES[route]
            path = path.replace("acme", tenant).replace("one", ident, 1)
            answer = client.generic(method, path)
            request_id = answer.headers.get("X-Request-Id", "").encode()
            answers.add((answer.status_code, answer.content.replace(request_id, b"")))
    assert len(answers) == 1
    assert answers.pop()[0] == 404


def test_a_refusal_by_role_is_audited(sign_in: SignIn, world: World) -> None:
    settle(world.launch())
    sign_in("carol").post("/t/acme/clusters/one/stop")
    row = AuditEvent.objects.get(outcome="denied")
    assert (row.actor_name, row.verb, row.target, row.reason) == (
        "carol",
        "cluster.stop",
        "cluster/one",
        "NEEDS_ROLE",
    )


def test_a_refused_outsider_is_audited(sign_in: SignIn, world: World) -> None:
    sign_in("charlie").get("/t/acme/")
    row = AuditEvent.objects.get(outcome="denied")
    assert (row.actor_name, row.target, row.tenant_name) == ("charlie", "/t/acme/", "")
