"""A refusal is small, even if a large request is wrong everywhere."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import resolve

from controlplane.api.endpoint import Endpoint
from tests.api.api import ROOT, Api
from tests.api.conftest import World
from tests.api.test_access_matrix import ROWS
from tests.api.things import Things

COUNT = 2_000
MOST_BYTES = 8_000
NAMES = [f"n{number}" for number in range(COUNT)]
LARGE: dict[str, Any] = {
    "an object of objects": {name: {} for name in NAMES},
    "an object of numbers": dict.fromkeys(NAMES, 1),
    "a list of numbers": [1] * COUNT,
    "a list of names": NAMES,
    "a list of objects": [{}] * COUNT,
    "text": "x" * COUNT,
}


def bodies(route: str, path: str, given: Any) -> Iterator[tuple[str, Any]]:
    """A body of unknown fields, and for each known field each large value."""
    yield "unknown fields", dict.fromkeys(NAMES, 1)
    for field in _fields(route, path):
        for kind, value in LARGE.items():
            yield f"{field}: {kind}", {**(given or {}), field: value}


def _fields(route: str, path: str) -> list[str]:
    view: Any = resolve(path).func
    endpoint = view.cls()
    assert isinstance(endpoint, Endpoint)
    operation = endpoint.spec_of(route.split(" ", 1)[0])
    return list(operation.body().fields) if operation else []


def test_the_size_of_an_answer_does_not_grow_with_the_number_of_faults(world: World, things: Things) -> None:
    requests, grown = 0, []
    for route, row in ROWS.items():
        method, pattern = route.split(" ", 1)
        if method == "GET":
            continue
        path = f"{ROOT}/{pattern.format(**things.there)}"
        api: Api = world.alice if "{tenant}" in pattern else world.root
        for what, body in bodies(route, path, row.body):
            answer = api.call(method, path, body)
            size = len(str(answer.body))
            requests += 1
            if answer.status >= 500 or size > MOST_BYTES:
                grown.append(f"{route} {what}: {answer.status}, {size} bytes")
    print(f"{requests} bodies")
    assert grown == []
    assert requests > 100


def test_the_first_ten_unknown_fields_are_named_and_the_others_counted(world: World) -> None:
    answer = world.bob.post("clusters", dict.fromkeys(NAMES, 1))
    assert answer.pointers == [*(f"/{name}" for name in NAMES[:10]), ""]
    assert f"{COUNT} unknown fields" in answer.body["errors"][-1]["detail"]


def test_items_of_a_too_long_list_are_not_validated(world: World) -> None:
    answer = world.bob.post("/api/v1/tokens", {"name": "ci", "scopes": NAMES})
    assert answer.body["errors"] == [{"pointer": "/scopes", "detail": "Must have at most 50 items."}]


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_text_that_the_database_cannot_take_is_refused(world: World, text: str) -> None:
    assert world.bob.post("clusters", {"name": text}).status == 400
