"""Every refusal and failure is a problem document, and reveals nothing to outsiders."""

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client, override_settings

from tenants.models import AuditEvent
from tests.api.api import ACME, PROBLEM, ROOT, Answer, Api
from tests.api.conftest import World
from tests.cast import set_limits

MEMBERS = {"type", "title", "status", "reason", "detail", "request_id"}


def public(answer: Answer) -> Any:
    """The body of the answer without the id of the request."""
    headers = {name: value for name, value in answer.headers.items() if name not in {"X-Request-Id", "Date"}}
    return answer.status, {**answer.body, "request_id": ""}, headers


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/api/v1/nothing", {}, 404),
        ("GET", f"{ACME}/clusters/..%2f", {}, 404),
        ("PUT", f"{ACME}/clusters", {}, 405),
        ("OPTIONS", f"{ACME}/clusters", {}, 405),
        ("GET", f"{ACME}/clusters", {"Accept": "text/html"}, 406),
        ("POST", f"{ACME}/clusters", {"Transfer-Encoding": "chunked"}, 411),
        ("GET", f"{ACME}/clusters", {"Host": "evil.example"}, 400),
    ],
)
def test_every_refusal_is_a_problem_document(
    world: World, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = world.bob.call(method, path, **headers)
    assert answer.status == status
    assert answer.headers["Content-Type"] == PROBLEM
    assert set(answer.body) >= MEMBERS
    assert answer.body["request_id"] == answer.headers["X-Request-Id"]


def test_an_unknown_method_is_answered_with_the_allowed_ones(world: World) -> None:
    assert world.bob.put("clusters").headers["Allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"a=b", "application/x-www-form-urlencoded", 415),
        (b"{}", "text/plain", 415),
        (b"{}", "", 415),
        (b" " * (1024 * 1024 + 1), "application/json", 413),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"name": "one", "name": "two"}', "application/json", 400),
        (b'{"name": NaN}', "application/json", 400),
        (b'{"name": 1e999}', "application/json", 400),
        (b'{"name": "\\u0000"}', "application/json", 400),
        (b'{"name": "\\ud800"}', "application/json", 400),
        (b'{"name": "\xff"}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"[" * 33 + b"]" * 33, "application/json", 400),
        (b'{"name": ' + b"9" * 5000 + b"}", "application/json", 400),
    ],
)
def test_an_invalid_body_is_refused(world: World, body: bytes, content_type: str, status: int) -> None:
    client = Client(headers={"Authorization": f"Bearer {world.bob.token}"})
    response = client.generic("POST", f"{ACME}/clusters", body, content_type=content_type)
    assert response.status_code == status
    assert response.headers["Content-Type"] == PROBLEM


def test_unknown_fields_are_refused_with_a_pointer(world: World) -> None:
    answer = world.bob.post("clusters", {"name": "one", "template": "pair", "nmae": 1, "a/b~c": 2})
    assert answer.reason == "INVALID"
    assert answer.pointers == ["/nmae", "/a~1b~0c"]


def test_every_wrong_field_is_named_at_once(world: World) -> None:
    answer = world.bob.post("clusters", {"name": "One", "site": 7})
    assert answer.pointers == ["/name", "/template", "/site"]


@pytest.mark.parametrize(
    "query",
    ["pagesize=1", "page_size=0", "page_size=x", "phase=gone", "page_size=1&page_size=2", "owner=%00"],
)
def test_a_wrong_parameter_is_refused_by_name(world: World, query: str) -> None:
    answer = world.bob.get(f"clusters?{query}")
    assert answer.reason == "INVALID"
    assert answer.body["errors"][0]["parameter"] == query.split("=")[0]


@pytest.mark.parametrize(
    "path", ["", "/clusters", "/clusters/etl-1", "/operations", "/templates/pair", "/audit"]
)
def test_a_foreign_tenant_is_answered_like_a_missing_one(world: World, path: str) -> None:
    foreign, missing = world.charlie.get(f"{ACME}{path}"), world.charlie.get(f"{ROOT}/tenants/initech{path}")
    assert public(foreign) == public(missing)
    assert foreign.status == 404


@pytest.mark.parametrize("path", ["clusters/{}", "clusters/{}/nodes", "operations/{}", "templates/{}"])
def test_a_foreign_object_is_answered_like_a_missing_one(world: World, path: str) -> None:
    cluster = world.launch("one")
    ids = {"clusters": cluster.pk, "operations": cluster.operations.get().pk}
    ids["templates"] = cluster.template_revision.template_id
    theirs = f"{ROOT}/tenants/globex/{path}"
    foreign = world.charlie.get(theirs.format(ids[path.split("/")[0]]))
    assert foreign.status == 404
    assert public(foreign) == public(world.charlie.get(theirs.format(uuid4())))


def test_a_refusal_by_role_names_it_and_who_grants_it(world: World) -> None:
    answer = world.carol.post("clusters", {"name": "one", "template": "pair"})
    assert (answer.status, answer.reason, answer.body["role"]) == (403, "NEEDS_ROLE", "member")
    assert "admin of the tenant" in answer.body["granted_by"]


def test_refusals_by_access_and_quota_are_audited(world: World) -> None:
    set_limits(world.people.acme, clusters=0)
    world.carol.post("clusters", {"name": "one", "template": "pair"}, X_Request_Id="abc")
    world.charlie.get("clusters/one")
    world.bob.post("clusters", {"name": "one", "template": "pair"})
    rows = AuditEvent.objects.filter(outcome="denied", tenant_name="acme").order_by("id")
    found = list(rows.values_list("actor_name", "verb", "target", "reason"))
    assert found == [
        ("carol", "cluster.create", "tenant/acme", "NEEDS_ROLE"),
        ("charlie", "cluster.read", "cluster/one", "NOT_FOUND"),
        ("bob", "cluster.create", "tenant/acme", "QUOTA_EXCEEDED"),
    ]
    assert rows[0].request_id == "abc"


def test_malformed_requests_conflicts_and_strangers_are_not_audited(world: World) -> None:
    before = AuditEvent.objects.filter(outcome="denied").count()
    world.bob.post("clusters", {"name": "One"})
    world.launch("one")
    world.bob.post("clusters", {"name": "one", "template": "pair"})
    world.anonymous.get("clusters")
    assert AuditEvent.objects.filter(outcome="denied").count() == before


def test_a_refusal_by_quota_names_the_shortfall_and_clusters_to_stop(world: World) -> None:
    set_limits(world.people.acme, cpu=4000)
    world.launch("one")
    answer = world.bob.post("clusters", {"name": "two", "template": "pair"})
    assert answer.reason == "QUOTA_EXCEEDED"
    assert answer.body["levels"] == [
        {
            "scope": "tenant",
            "resource": "cpu",
            "limit": "4",
            "held": "2500m",
            "wanted": "2500m",
            "short_by": "1",
        }
    ]
    assert answer.body["would_fit_if_stopped"][0]["cluster"] == "one"


def test_a_valid_request_id_of_the_caller_is_returned(world: World) -> None:
    assert world.bob.get("clusters", X_Request_Id="job-7.2").headers["X-Request-Id"] == "job-7.2"
    assert world.bob.get("clusters", X_Request_Id="a b").headers["X-Request-Id"] != "a b"


def test_an_internal_error_is_a_problem_without_a_traceback(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(actor: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr("controlplane.api.v1.me.roles_of", broken)
    answer = world.bob.get("/api/v1/me")
    assert (answer.status, answer.reason) == (500, "INTERNAL")
    assert "secret" not in str(answer.body)


@override_settings(DEBUG=False)
def test_the_api_never_answers_with_html(world: World) -> None:
    assert Api().get("/api/v1/tenants/a b").reason == "NOT_FOUND"
