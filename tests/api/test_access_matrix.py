"""The authorisation matrix: every route with every person and target. A route without a row fails."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from django.db import transaction

from controlplane.clusters.models import Cluster, Site
from controlplane.clusters.secrets import run_secret
from tenants.actors import SCOPES
from tenants.models import Tenant, TenantState
from tests import launchable
from tests.api.api import ROOT, Answer, Api, as_user
from tests.api.conftest import World
from tests.api.routes import routes
from tests.api.things import ROBOT, SHARED_WITH, Things
from tests.cast import a_tenant

# The order of the columns. charlie is the outsider: an admin of another tenant. carol: viewer, dave: member, bob:
# member and owner of the clusters, alice: admin, root: site admin and no member.
PEOPLE = ("anonymous", "charlie", "carol", "dave", "bob", "alice", "root")


@dataclass(frozen=True)
class Row:
    """The statuses of all people, for objects that exist (there), that do not exist or belong to another tenant
    (missing), and that were deleted. A route without a name in its URL has only the first.
    """

    there: str
    missing: str = ""
    deleted: str = ""
    body: Any = None


ALL = "401 200 200 200 200 200 200"
INSIDE = "401 404 200 200 200 200 200"
NOT_THERE = "401 404 404 404 404 404 404"
SITE = "401 403 403 403 403 403 {}"
SITE_MISSING = SITE.format(404)
TENANT_BY_SITE = "401 404 403 403 403 403 {}"
BY_ADMIN = "401 404 403 403 403 {0} {0}"
ADMIN_MISSING = BY_ADMIN.format(404)
BY_USERS = "401 404 403 403 {0} {0} {0}"
VERB = {"missing": NOT_THERE, "deleted": BY_USERS.format(409)}
READ = {"missing": NOT_THERE, "deleted": INSIDE}

T, C, M = "tenants/{tenant}", "tenants/{tenant}/clusters/{cluster}", "tenants/{tenant}/templates/{template}"
TEMPLATE = {**launchable.TEMPLATE, "name": "other"}
ROWS = {
    "GET me": Row(ALL),
    "PUT me/password": Row(
        "401 400 400 400 400 400 400", body={"current_password": "wrong", "new_password": "three-words-long"}
    ),
    "POST me:end-sessions": Row("401 204 204 204 204 204 204"),
    "GET tokens": Row(ALL),
    "POST tokens": Row("401 201 201 201 201 201 201", body={"name": "ci"}),
    "GET tokens/{token}": Row("401 404 404 404 200 404 404", NOT_THERE, NOT_THERE),
    "DELETE tokens/{token}": Row("401 404 404 404 204 404 204", NOT_THERE, NOT_THERE),
    "GET users": Row(SITE.format(200)),
    "POST users": Row(SITE.format(201), body={"username": "dora", "password": "three-words-long"}),
    "GET users/{user}": Row(SITE.format(200), SITE_MISSING),
    "PUT users/{user}": Row(SITE.format(200), SITE_MISSING, body={"email": "a@example.org"}),
    "DELETE users/{user}": Row(SITE.format(204), SITE_MISSING),
    "POST users/{user}:disable": Row(SITE.format(200), SITE_MISSING),
    "POST users/{user}:enable": Row(SITE.format(200), SITE_MISSING),
    "POST users/{user}:reset-password": Row(SITE.format(200), SITE_MISSING),
    "GET users/{user}/tokens": Row(SITE.format(200), SITE_MISSING),
    "POST users/{user}/tokens": Row(SITE.format(201), SITE_MISSING, body={"name": "ci"}),
    "GET audit": Row(SITE.format(200)),
    "GET audit:export": Row(SITE.format(200)),
    "GET sites": Row(ALL),
    "GET apps": Row(ALL),
    "GET tenants": Row(ALL),
    "POST tenants": Row(SITE.format(201), body={"name": "initech"}),
    f"GET {T}": Row(INSIDE),
    f"DELETE {T}": Row(TENANT_BY_SITE.format(202)),
    f"POST {T}:suspend": Row(TENANT_BY_SITE.format(200)),
    f"POST {T}:resume": Row(TENANT_BY_SITE.format(200)),
    f"GET {T}/members": Row(INSIDE),
    f"PUT {T}/members/{{user}}": Row(
        BY_ADMIN.format(200), ADMIN_MISSING, BY_ADMIN.format(200), {"role": "viewer"}
    ),
    f"DELETE {T}/members/{{user}}": Row(BY_ADMIN.format(204), ADMIN_MISSING, ADMIN_MISSING),
    f"GET {T}/limits": Row(INSIDE),
    f"GET {T}/limits/members": Row(INSIDE),
    f"GET {T}/limits/members/{{user}}": Row(INSIDE, NOT_THERE, NOT_THERE),
    f"PUT {T}/limits": Row(TENANT_BY_SITE.format(200), body={"cpu": "4"}),
    f"PUT {T}/limits/members/{{user}}": Row(BY_ADMIN.format(200), ADMIN_MISSING, ADMIN_MISSING, {"cpu": "4"}),
    f"GET {T}/usage": Row(INSIDE),
    f"GET {T}/audit": Row(BY_ADMIN.format(200)),
    f"GET {T}/audit:export": Row(BY_ADMIN.format(200)),
    f"GET {T}/targets": Row(INSIDE),
    f"GET {T}/operations": Row(INSIDE),
    f"GET {T}/operations/{{operation}}": Row(INSIDE, **READ),
    f"POST {T}/operations/{{operation}}:cancel": Row(BY_USERS.format(202), **VERB),
    f"GET {T}/templates": Row(INSIDE),
    f"POST {T}/templates": Row(BY_ADMIN.format(201), body=TEMPLATE),
    f"GET {M}": Row(INSIDE, NOT_THERE, NOT_THERE),
    f"PUT {M}": Row(BY_ADMIN.format(200), ADMIN_MISSING, ADMIN_MISSING, launchable.TEMPLATE),
    f"DELETE {M}": Row(BY_ADMIN.format(204), ADMIN_MISSING, ADMIN_MISSING, {"in_use": True}),
    f"GET {M}/revisions": Row(INSIDE, NOT_THERE, NOT_THERE),
    f"POST {M}:rollback": Row(BY_ADMIN.format(200), ADMIN_MISSING, ADMIN_MISSING, {"revision": 1}),
    f"POST {M}:publish": Row(BY_ADMIN.format(200), ADMIN_MISSING, ADMIN_MISSING),
    f"POST {M}:deprecate": Row(BY_ADMIN.format(200), ADMIN_MISSING, ADMIN_MISSING),
    f"GET {T}/clusters": Row(INSIDE),
    f"POST {T}/clusters": Row("401 404 403 201 201 201 403", body={"name": "new", "template": "pair"}),
    f"GET {C}": Row(INSIDE, **READ),
    f"PATCH {C}": Row(BY_USERS.format(409), NOT_THERE, BY_USERS.format(409), {"preset": ""}),
    f"DELETE {C}": Row(BY_USERS.format(202), **VERB),
    f"POST {C}:start": Row(BY_USERS.format(409), **VERB),
    f"POST {C}:stop": Row(BY_USERS.format(202), **VERB),
    f"POST {C}:release": Row(TENANT_BY_SITE.format(409), NOT_THERE, TENANT_BY_SITE.format(409)),
    f"POST {C}:restart": Row(BY_USERS.format(202), **VERB),
    f"POST {C}:resize": Row(BY_USERS.format(202), **VERB, body={"groups": {"hand": {"count": 3}}}),
    f"GET {C}/shares": Row(INSIDE, **READ),
    f"PUT {C}/shares/{{user}}": Row("401 404 403 403 200 403 403", NOT_THERE),
    f"DELETE {C}/shares/{{user}}": Row(BY_USERS.format(204), NOT_THERE),
    f"GET {C}/nodes": Row(INSIDE, **READ),
    f"GET {C}/nodes/{{node}}/logs": Row(BY_USERS.format(200), NOT_THERE),
    f"GET {C}/events": Row(INSIDE, **READ),
}


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    assert sorted(ROWS) == sorted(routes())


def test_every_person_gets_the_status_in_the_table(world: World, things: Things) -> None:
    requests = wrong = 0
    for route, row in ROWS.items():
        for kind, names, statuses in _variants(route, row, things):
            for person, expected in zip(PEOPLE, statuses.split(), strict=True):
                status = _ask(getattr(world, person), route, _fixed(route, names, kind), row.body)
                requests += 1
                if status != int(expected) and not _own_token(route, person, kind):
                    wrong += 1
                    print(f"{person} {route} ({kind}): {status} instead of {expected}")
    print(f"{requests} cases over {len(ROWS)} routes")
    assert wrong == 0
    assert requests > 600


def test_only_tokens_with_the_scope_to_open_pages_see_links(world: World, things: Things) -> None:
    Site.objects.update(kind="local")
    cluster = Cluster.objects.get(name="one", tenant=world.people.acme)
    secret, shown = run_secret(cluster, "page"), set()
    requests = 0
    for scope in SCOPES:
        api = as_user(world.people.bob, scopes=[scope])
        for route, row in ROWS.items():
            answer = _answer(api, route, _fixed(route, things.there, "there"), row.body)
            requests += 1
            if secret in str(answer.body):
                shown.add((scope, route))
    print(f"{requests} cases: {sorted(shown)}")
    assert {scope for scope, _ in shown} == {"clusters:write"}
    assert ("clusters:write", f"GET {C}") in shown
    assert ("clusters:write", f"GET {T}/clusters") in shown


def test_foreign_deleted_and_unknown_tenants_are_not_found(world: World, things: Things) -> None:
    Tenant.objects.filter(pk=a_tenant("gone").pk).update(state=TenantState.DELETED)
    requests = wrong = 0
    for route, row in ROWS.items():
        if "{tenant}" not in route:
            continue
        for tenant, knows in (("globex", {"charlie", "root"}), ("gone", set()), (str(uuid4()), set())):
            for person in set(PEOPLE[1:]) - knows:
                status = _ask(getattr(world, person), route, {**things.there, "tenant": tenant}, row.body)
                requests += 1
                if status != 404:
                    wrong += 1
                    print(f"{person} {route} in {tenant}: {status}")
    print(f"{requests} cases")
    assert wrong == 0
    assert requests > 400


def _variants(route: str, row: Row, things: Things) -> Iterator[tuple[str, dict[str, str], str]]:
    yield "there", things.there, row.there
    if row.missing:
        yield "foreign", things.foreign, row.missing
        yield "random", things.random, row.missing
    if row.deleted:
        yield "deleted", things.deleted, row.deleted


def _fixed(route: str, names: dict[str, str], kind: str) -> dict[str, str]:
    """Adapt the name of the user: a share is with a member, and only service accounts get tokens from others."""
    if route == "POST users/{user}/tokens" and kind == "there":
        return {**names, "user": ROBOT}
    if "/shares/" in route and kind == "there":
        return {**names, "user": SHARED_WITH}
    return names


def _own_token(route: str, person: str, kind: str) -> bool:
    """Whether the foreign token is accessible: charlie owns it, and root may revoke any token."""
    return "{token}" in route and kind == "foreign" and person in {"charlie", "root"}


def _ask(api: Api, route: str, names: dict[str, str], body: Any) -> int:
    return _answer(api, route, names, body).status


def _answer(api: Api, route: str, names: dict[str, str], body: Any) -> Answer:
    """The answer to the request, whose changes are rolled back."""
    method, path = route.split()
    with transaction.atomic():
        answer = api.call(method, f"{ROOT}/{path.format(**names)}", body)
        transaction.set_rollback(True)
    return answer
