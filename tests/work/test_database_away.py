"""PostgreSQL dies and restarts: the loop continues at once, and no due item is lost."""

import signal
import threading
from collections.abc import Iterator
from uuid import UUID

import dj_database_url
import pytest
from django.db import OperationalError, connection, connections
from pytest_django.plugin import DjangoDbBlocker

from controlplane.work.claim import Claimed
from controlplane.work.models import Work
from tests.database import TestServer
from tests.work.table import due_in, eventually, row, running, woken

# Shorter than a lease, so nothing here waited for a lease to expire.
SOON = 15.0


@pytest.fixture
def server(django_db_blocker: DjangoDbBlocker, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestServer]:
    """A PostgreSQL of its own with the work table; every connection of this process goes there."""
    server = TestServer()
    for name, value in dj_database_url.parse(server.url).items():
        monkeypatch.setitem(connections.settings["default"], name, value)
    with django_db_blocker.unblock():
        connection.close()
        with connection.cursor() as cursor:
            # Test servers commit asynchronously, but this one is killed and must not lose commits.
            cursor.execute("ALTER ROLE CURRENT_USER SET synchronous_commit = on")
        connection.close()
        with connection.schema_editor() as editor:
            editor.create_model(Work)
        yield server
        connection.close()
    server.stop()


def kill(server: TestServer) -> None:
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    connection.close()


def start_again(server: TestServer) -> None:
    """Start the server, again while it exits because orphans of the old one hold the shared memory."""

    def ready() -> bool:
        if server.process.poll() is not None:
            with (server.folder / "log").open("ab") as log:
                server.process = server.server.command.start(output=log.fileno())
        return server.server.is_ready(server.process.pid) and _answers()

    assert eventually(ready, 30)


def _answers() -> bool:
    try:
        connection.ensure_connection()
    except OperationalError:
        return False
    return True


def test_a_sleeping_loop_survives_a_kill_of_the_database(server: TestServer) -> None:
    handled: list[UUID] = []
    with running(lambda claimed: handled.append(claimed.key)):
        first = woken()
        assert eventually(lambda: handled == [first])
        kill(server)
        start_again(server)
        second = woken()
        assert eventually(lambda: handled == [first, second], SOON)


def test_a_pass_interrupted_by_the_database_is_repeated_before_its_lease_expires(server: TestServer) -> None:
    handled: list[int] = []
    started, go_on = threading.Event(), threading.Event()

    def handler(claimed: Claimed) -> None:
        handled.append(claimed.fence)
        if len(handled) == 1:
            started.set()
            go_on.wait(30)

    with running(handler):
        key = woken()
        assert started.wait(10)
        kill(server)
        go_on.set()
        start_again(server)
        assert eventually(lambda: len(handled) > 1 and not row(key).leased, SOON)
    assert due_in(key) is None
    assert handled == sorted(set(handled))


def test_closed_connections_are_reopened(server: TestServer) -> None:
    handled: list[UUID] = []
    with running(lambda claimed: handled.append(claimed.key)):
        for number in range(1, 4):
            woken()
            assert eventually(lambda number=number: len(handled) == number, SOON)  # type: ignore[misc]
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )


def test_a_loop_that_starts_before_its_database_waits_for_it(server: TestServer) -> None:
    key = woken()
    kill(server)
    handled: list[UUID] = []
    with running(lambda claimed: handled.append(claimed.key)):
        assert not handled
        start_again(server)
        assert eventually(lambda: handled == [key], SOON)
