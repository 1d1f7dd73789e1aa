"""Streamed and complete answers of the web server that `up` runs."""

from collections.abc import Iterator

import pytest

from controlplane.asgi import THREADS
from tests.api.api import ACME
from tests.api.conftest import World
from tests.api.served import served
from tests.api.wire import chunked, many, request, send

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def address(django_db_setup: None) -> Iterator[str]:
    with served() as found:
        yield found


@pytest.mark.parametrize("path", ["/static/console/console.css", "/static/console/console.js"])
def test_the_console_has_its_styles_and_scripts(address: str, path: str) -> None:
    reply = send(address, request("GET", path))
    assert (reply.status, int(reply.headers["Content-Length"])) == (200, len(reply.body))
    assert reply.body.strip()


def test_a_range_request_gets_part_of_a_file(address: str) -> None:
    reply = send(address, request("GET", "/static/console/console.css", Range="bytes=3-12"))
    assert (reply.status, len(reply.body)) == (206, 10)


def test_clients_that_do_not_read_hold_no_thread(address: str) -> None:
    # More than the socket buffers of both ends hold.
    files = 8 * request("GET", "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js")
    with many(address, THREADS + 8, files):
        assert send(address, request("GET", "/login")).status == 200
        assert send(address, request("GET", "/static/console/console.css")).status == 200


def test_a_log_is_streamed(address: str, world: World) -> None:
    world.ready("one")
    sent = request(
        "GET",
        f"{ACME}/clusters/one/nodes/hand-0/logs?follow=true",
        Authorization=f"Bearer {world.bob.token}",
    )
    reply = send(address, sent)
    assert (reply.status, reply.headers["Transfer-Encoding"]) == (200, "chunked")


def test_a_body_in_chunks_is_read_like_any_other(address: str, world: World) -> None:
    body = b'{"name": "one", "template": "pair"}'
    sent = request(
        "POST",
        f"{ACME}/clusters",
        chunked(body),
        Authorization=f"Bearer {world.bob.token}",
        Transfer_Encoding="chunked",
    )
    assert send(address, sent).status == 201
