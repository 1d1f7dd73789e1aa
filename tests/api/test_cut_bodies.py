"""A request whose body ends too early changes nothing, wherever it is cut."""

from collections.abc import Iterator
from hashlib import sha256

import pytest
from django.db import connection
from django.test import Client

from tests.api.api import ACME, ROOT
from tests.api.conftest import World
from tests.api.served import served
from tests.api.test_access_matrix import ROWS
from tests.api.things import Things
from tests.api.wire import chunked, request, send, send_part

pytestmark = pytest.mark.django_db(transaction=True)
RESTART = b'{"nodes": ["hand-1"]}'


@pytest.fixture(scope="module")
def address(django_db_setup: None) -> Iterator[str]:
    with served() as found:
        yield found


def everything() -> dict[str, str]:
    """The digest of each table."""
    digests = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT t::text FROM "{table}" t ORDER BY 1')  # noqa: S608  a name of ours
            digests[table] = sha256(repr(cursor.fetchall()).encode()).hexdigest()
    return digests


def cut(address: str, whole: bytes, ends: Iterator[int] | range) -> int:
    """Send the request cut at each of these positions; none may be executed. Returns their number."""
    sent = 0
    for end in ends:
        answer = send_part(address, whole[:end])
        assert not answer or answer.startswith(b"HTTP/1.1 400"), answer
        sent += 1
    return sent


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("in_chunks", [False, True])
def test_a_restart_request_cut_at_any_byte_restarts_nothing(
    address: str, world: World, in_chunks: bool
) -> None:
    world.ready("one")
    more = bearer(world.bob.token) | ({"Transfer_Encoding": "chunked"} if in_chunks else {})
    body = chunked(RESTART) if in_chunks else RESTART
    whole = request("POST", f"{ACME}/clusters/one:restart", body, **more)
    before = everything()
    assert cut(address, whole, range(len(whole) - len(body), len(whole))) == len(body)
    assert everything() == before


def test_every_writing_route_does_nothing_when_cut(address: str, world: World, things: Things) -> None:
    before = everything()
    for route, row in ROWS.items():
        method, path = route.split(" ", 1)
        if method == "GET":
            continue
        # This body would be refused as a whole; a part of it must not be read as a request either.
        url = f"{ROOT}/{path.format(**things.there)}"
        whole = request(method, url, b'{"force": true}', **bearer(world.root.token))
        head = whole.index(b"\r\n\r\n") + 4
        assert cut(address, whole, iter((head, head + 1, len(whole) - 1))) == 3, row
    assert everything() == before


def test_a_form_of_the_console_does_nothing_when_cut(address: str, world: World) -> None:
    world.ready("one")
    client, csrf = Client(), "c" * 32
    client.force_login(world.people.bob)
    headers = {
        "Cookie": f"slipway_session={client.cookies['slipway_session'].value}; csrftoken={csrf}",
        "X_CSRFToken": csrf,
        "Content_Type": "application/x-www-form-urlencoded",
    }
    body = b"force=&x=1"
    whole = request("POST", "/t/acme/clusters/one/stop", body, **headers)
    before = everything()
    assert cut(address, whole, range(len(whole) - len(body), len(whole))) == len(body)
    assert everything() == before
    # The complete request is executed, so only the cut made the difference.
    assert send(address, whole).status == 303
    assert everything() != before


def test_a_pipelined_request_that_is_cut_does_nothing(address: str, world: World) -> None:
    world.ready("one")
    whole = request("POST", f"{ACME}/clusters/one:restart", RESTART, **bearer(world.bob.token))
    healthy = request("GET", "/healthz")
    before = everything()
    answers = send_part(address, healthy + whole[:-1])
    assert answers.startswith(b"HTTP/1.1 200")
    assert answers.count(b"HTTP/1.1 400") == 1
    assert everything() == before
