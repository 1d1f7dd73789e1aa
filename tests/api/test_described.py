"""The OpenAPI document has every route, and every answer matches its schema."""

from typing import Any

import jsonschema
import pytest
from django.db import transaction
from jsonschema import Draft202012Validator

from controlplane.api.documents import openapi_document
from controlplane.clusters.models import Cluster
from tests import launchable
from tests.api.api import ACME, ROOT
from tests.api.conftest import World
from tests.api.routes import routes
from tests.api.test_access_matrix import PEOPLE, ROWS, Row
from tests.api.things import ROBOT, Things
from tests.reconciler.settling import settle


def schema_of(route: str, status: int) -> dict[str, Any] | None:
    """The schema of the answer's body, closed, so that a member without a description fails."""
    method, path = route.split()
    document = openapi_document()
    answer = document["paths"][f"{ROOT}/{path}"][method.lower()]["responses"][str(status)]
    if "content" not in answer:
        return None
    [content] = answer["content"].values()
    return {"components": _closed(document["components"]), **_closed(content["schema"])}


def _closed(node: Any) -> Any:
    if isinstance(node, list):
        return [_closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    closed = {key: _closed(value) for key, value in node.items()}
    if isinstance(node.get("properties"), dict) and isinstance(node.get("required"), list):
        closed.setdefault("additionalProperties", False)
    return closed


def test_the_document_has_exactly_the_routes_of_the_api() -> None:
    described = {
        f"{method.upper()} {path.removeprefix(ROOT + '/')}"
        for path, methods in openapi_document()["paths"].items()
        for method in methods
    }
    assert described == set(routes())


def granted(row: Row) -> str:
    """A person whose request of this route succeeds."""
    return next(person for person, status in zip(PEOPLE, row.there.split(), strict=True) if status < "300")


def _user(route: str, things: Things) -> str:
    if route == "POST users/{user}/tokens":
        return ROBOT
    return "alice" if "/shares/" in route else things.there["user"]


def test_every_answer_matches_its_schema(world: World, things: Things) -> None:
    for route, row in ROWS.items():
        # Routes that need a password or a stopped cluster, which this test does not have, and routes with bodies that
        # are no JSON. They have their own tests.
        if route.endswith(("/logs", ":start", ":release", ":export", "me/password")) or route.startswith(
            "PATCH"
        ):
            continue
        method, path = route.split()
        names = {**things.there, "user": _user(route, things)}
        with transaction.atomic():
            answer = getattr(world, granted(row)).call(method, f"{ROOT}/{path.format(**names)}", row.body)
            transaction.set_rollback(True)
        schema = schema_of(route, answer.status)
        if schema is None:
            assert answer.body == b"", route
        else:
            jsonschema.validate(answer.body, schema, Draft202012Validator)


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "resize", "delete"])
def test_every_plan_matches_its_schema(world: World, verb: str) -> None:
    world.ready("one")
    if verb == "start":
        world.bob.post("clusters/one:stop", {"force": True})
        settle(Cluster.objects.get())
    body = {"groups": {"hand": {"count": 4}}} if verb == "resize" else {}
    path = "clusters/one" if verb == "delete" else f"clusters/one:{verb}"
    answer = world.bob.call("DELETE" if verb == "delete" else "POST", f"{path}?validate_only=true", body)
    assert answer.status == 200
    schema = schema_of("DELETE tenants/{tenant}/clusters/{cluster}", 200)
    assert schema is not None
    jsonschema.validate(answer.body, schema, Draft202012Validator)


def test_a_problem_matches_its_schema(world: World) -> None:
    document = openapi_document()
    schema = {"components": document["components"], "$ref": "#/components/schemas/Problem"}
    answer = world.bob.post("clusters", {"name": "One", "x": launchable.ENGINE})
    jsonschema.validate(answer.body, schema, Draft202012Validator)


def test_every_error_is_described_as_a_problem() -> None:
    for path, methods in openapi_document()["paths"].items():
        for method, operation in methods.items():
            failures = {
                status: failure for status, failure in operation["responses"].items() if status >= "400"
            }
            assert set(failures) >= {"400", "401", "403", "404", "405", "406", "500", "503"}, (path, method)
            assert all(
                list(failure["content"]) == ["application/problem+json"] for failure in failures.values()
            )


def test_it_is_openapi_3_1_and_served_to_everybody(world: World) -> None:
    answer = world.anonymous.get("/api/v1/openapi.json")
    assert answer.body["openapi"].startswith("3.1.")
    assert world.anonymous.get("/api/v1/docs").status == 200


def test_an_answer_that_is_no_page_may_load_nothing(world: World) -> None:
    for path in ("/api/v1/openapi.json", "/healthz", f"{ACME}/clusters", "/api/v1/nothing"):
        policy = world.bob.get(path).headers["Content-Security-Policy"]
        assert policy == "default-src 'none'; frame-ancestors 'none'"
