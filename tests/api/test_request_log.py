"""The log has one line per request."""

from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.contextvars import get_contextvars
from structlog.testing import capture_logs

from controlplane.api import middleware
from tests.api.api import ACME, ROOT, Api
from tests.api.conftest import World
from tests.api.served import served
from tests.api.wire import request, send, send_part


def lines(api: Api, path: str, **headers: str) -> list[Any]:
    with capture_logs() as found:
        api.get(path, **headers)
    return [line for line in found if line["event"] == "request"]


@pytest.fixture(autouse=True)
def fresh_log(monkeypatch: pytest.MonkeyPatch) -> None:
    # A cached logger keeps its processors and would escape the capture.
    monkeypatch.setattr(middleware, "log", structlog.get_logger("test"))


def test_a_line_has_the_user_the_request_and_its_status(world: World) -> None:
    [line] = lines(world.bob, "clusters?page_size=2")
    assert (line["method"], line["path"], line["code"]) == (
        "GET",
        "/api/v1/tenants/acme/clusters",
        200,
    )
    assert line["user_id"] == str(world.people.bob.pk)
    assert line["ip"] == "127.0.0.1"
    assert 0 < line["seconds"] < 60


def test_a_refusal_is_a_warning(world: World) -> None:
    [line] = lines(world.bob, "clusters/none")
    assert (line["log_level"], line["code"]) == ("warning", 404)


def test_a_request_without_a_user_logs_no_user(world: World) -> None:
    [line] = lines(world.anonymous, "clusters")
    assert (line["user_id"], line["code"]) == (None, 401)


def test_a_request_leaves_no_fields_in_the_line_of_the_next(world: World) -> None:
    world.bob.get("clusters")
    assert get_contextvars() == {}


def test_long_values_of_the_caller_are_cut(world: World) -> None:
    [line] = lines(world.bob, "clusters/" + "x" * 5000)
    assert len(line["path"]) == 500


@pytest.mark.django_db(transaction=True)
def test_no_log_of_the_web_process_has_queries_or_tokens(world: World, tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    bearer = f"Bearer {world.bob.token}"
    secret = "?token=hush-hush"
    with served(log) as address:
        for path in (
            f"{ROOT}/me",
            f"{ACME}/clusters",
            f"{ACME}/nothing",
            "/login",
            "/nothing",
            "/static/nothing",
        ):
            send(address, request("GET", path + secret, Authorization=bearer))
            send(address, request("POST", path + secret, b"{", Referer=path + secret, Authorization=bearer))
            send_part(address, request("POST", path + secret, b"{}", Authorization=bearer)[:-1])
        send(address, request("GET", f"{ROOT}/me{secret}", Host="elsewhere", Authorization=bearer))
        send(address, request("GET", f"{ROOT}/me{secret}", Authorization="Bearer hush-hush"))
    logged = log.read_text()
    assert logged.count('"event": "request"') >= 10
    assert "hush-hush" not in logged
    assert world.bob.token not in logged
