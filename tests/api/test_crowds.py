"""Many connections and many waits do not delay other clients."""

import socket
from collections.abc import Iterator

import pytest

from controlplane.api.long_poll import MOST_A_USER
from controlplane.standalone.web.server import CONNECTIONS, raise_file_limit
from tests.api.api import ACME
from tests.api.conftest import World
from tests.api.served import served
from tests.api.wire import connected, many, read, request, send

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]
MANY = 5000
KINDS = {
    "idle": b"",
    "half a head": b"GET /healthz HTTP/1.1\r\nHost: local",
    "kept after an answer": request("GET", "/healthz"),
    "half a body": request("POST", "/login", Content_Length="100") + b"user",
}


@pytest.fixture(scope="module")
def address(django_db_setup: None) -> Iterator[str]:
    raise_file_limit()
    with served() as found:
        yield found


@pytest.mark.parametrize("kind", KINDS)
def test_thousands_of_idle_connections_do_not_block_requests(address: str, world: World, kind: str) -> None:
    assert MANY < CONNECTIONS
    me = request("GET", "/api/v1/me", Authorization=f"Bearer {world.bob.token}")
    with many(address, MANY, KINDS[kind]):
        assert send(address, request("GET", "/healthz")).status == 200
        assert send(address, me).status == 200


@pytest.mark.parametrize("kind", ["idle", "half a head", "kept after an answer"])
def test_an_idle_connection_is_closed(django_db_setup: None, kind: str) -> None:
    with served(header_seconds=1) as address, connected(address) as connection:
        connection.sendall(KINDS[kind])
        if kind == "kept after an answer":
            assert read(connection).status == 200
        assert connection.recv(1000) == b""


def test_the_number_of_waits_per_user_is_bounded(address: str, world: World) -> None:
    operation = world.launch("one").operations.get()
    path = f"{ACME}/operations/{operation.pk}?wait=60"
    bobs = request("GET", path, Authorization=f"Bearer {world.bob.token}")
    alices = request("GET", f"{path[:-2]}1", Authorization=f"Bearer {world.alice.token}")
    with many(address, MOST_A_USER + 210, bobs) as connections:
        refused = [read(connection) for connection in answered(connections, 210)]
        assert {(reply.status, reply.headers["Retry-After"]) for reply in refused} == {(429, "10")}
        assert send(address, alices).status == 200
        assert len(refused) == 210


def answered(connections: list[socket.socket], count: int) -> list[socket.socket]:
    """How many of the connections have data to read."""
    import select

    poll, found = select.poll(), {}
    for connection in connections:
        poll.register(connection, select.POLLIN)
        found[connection.fileno()] = connection
    ready: list[socket.socket] = []
    while len(ready) < count:
        news = poll.poll(20_000)
        assert news, f"{len(ready)} of {count} are answered"
        for number, _ in news:
            poll.unregister(number)
            ready.append(found[number])
    return ready
