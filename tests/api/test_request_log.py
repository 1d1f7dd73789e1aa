"""One line a request."""

from typing import Any

import pytest
import structlog
from structlog.contextvars import get_contextvars
from structlog.testing import capture_logs

from controlplane.api import middleware
from tests.api.api import Api
from tests.api.conftest import World


def lines(api: Api, path: str, **headers: str) -> list[Any]:
    with capture_logs() as found:
        api.get(path, **headers)
    return [line for line in found if line["event"] == "request"]


@pytest.fixture(autouse=True)
def fresh_log(monkeypatch: pytest.MonkeyPatch) -> None:
    # A logger that was used once keeps its processors, and would not be captured.
    monkeypatch.setattr(middleware, "log", structlog.get_logger("test"))


def test_it_says_who_asked_what_and_what_came_of_it(world: World) -> None:
    [line] = lines(world.bob, "clusters?page_size=2")
    assert (line["method"], line["path"], line["code"]) == (
        "GET",
        "/api/v1/tenants/acme/clusters?page_size=2",
        200,
    )
    assert line["user_id"] == str(world.people.bob.pk)
    assert line["ip"] == "127.0.0.1"
    assert 0 < line["seconds"] < 60


def test_a_refusal_is_a_warning(world: World) -> None:
    [line] = lines(world.bob, "clusters/none")
    assert (line["log_level"], line["code"]) == ("warning", 404)


def test_nobody_is_nobody(world: World) -> None:
    [line] = lines(world.nobody, "clusters")
    assert (line["user_id"], line["code"]) == (None, 401)


def test_nothing_of_a_request_is_left_for_the_next(world: World) -> None:
    world.bob.get("clusters")
    assert get_contextvars() == {}


def test_what_a_caller_writes_is_cut(world: World) -> None:
    [line] = lines(world.bob, "clusters?owner=" + "x" * 5000)
    assert len(line["path"]) == 500
