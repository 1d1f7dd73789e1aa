"""Waits for operations and followed logs: long requests occupy no thread."""

import asyncio
from collections.abc import Iterator
from functools import partial
from threading import Thread
from typing import Any

import pytest
from django.db import connection

from controlplane.api import following, long_poll
from controlplane.api.long_poll import POLL_SECONDS, wait_of
from controlplane.api.v1 import logs
from controlplane.clusters.models import Operation
from controlplane.clusters.models.operation import State
from controlplane.clusters.operations import operation_end
from tenants.models import ApiToken, Membership, Role, User
from tests.api.api import ACME, a_token
from tests.api.asgi import Request, drive, listener, until, waiters
from tests.api.conftest import World


@pytest.fixture
def outside(transactional_db: None, world: World) -> Iterator[World]:
    """The world without a transaction: requests run in threads whose connections close after each."""
    age, connection.settings_dict["CONN_MAX_AGE"] = connection.settings_dict["CONN_MAX_AGE"], 0
    yield world
    connection.settings_dict["CONN_MAX_AGE"] = age


def elsewhere(change: Any) -> None:
    """End the operation on another connection, as another process does."""

    def run() -> None:
        change()
        connection.close()

    thread = Thread(target=run)
    thread.start()
    thread.join()


def end(operation: Operation, *, tell: bool = True) -> None:
    def change() -> None:
        if tell:
            operation_end(operation, State.SUCCEEDED)
        else:
            Operation.objects.filter(pk=operation.pk).update(state=State.SUCCEEDED)

    elsewhere(change)


def is_waiting() -> bool:
    return waiters() > 0


def wait_request(world: World, operation: Operation, wait: int = 30) -> Request:
    return Request(world.bob.token, f"{ACME}/operations/{operation.pk}?wait={wait}")


def test_a_wait_ends_when_the_operation_does(outside: World) -> None:
    operation = outside.launch("one").operations.get()

    async def scenario() -> None:
        request = wait_request(outside, operation)
        task = request.send_off()
        await until(is_waiting)
        end(operation)
        # Before the next periodic read would have noticed it.
        assert (await asyncio.wait_for(task, POLL_SECONDS / 2)).body["state"] == "succeeded"

    drive(scenario)


def test_an_ended_operation_is_answered_at_once(outside: World) -> None:
    operation = outside.ready("one").operations.get()

    async def scenario() -> None:
        assert (await wait_request(outside, operation).send_off()).body["state"] == "succeeded"

    drive(scenario)


def test_a_wait_is_a_maximum(outside: World) -> None:
    operation = outside.launch("one").operations.get()

    async def scenario() -> None:
        request = await wait_request(outside, operation, wait=1).send_off()
        assert (request.status, request.body["state"]) == (200, "pending")

    drive(scenario)


def test_a_missed_notification_only_delays_the_answer(
    outside: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_poll, "POLL_SECONDS", 0.05)
    operation = outside.launch("one").operations.get()

    async def scenario() -> None:
        task = wait_request(outside, operation).send_off()
        await until(is_waiting)
        end(operation, tell=False)
        assert (await task).body["state"] == "succeeded"

    drive(scenario)


def test_a_lost_connection_is_made_again(outside: World) -> None:
    operation = outside.launch("one").operations.get()

    def cut() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
            )

    async def scenario() -> None:
        task = wait_request(outside, operation).send_off()
        await until(is_waiting)
        found = listener()
        assert found is not None
        first = found._connection
        elsewhere(cut)
        await until(lambda: found._connection not in {first, None})
        end(operation)
        assert (await task).body["state"] == "succeeded"

    drive(scenario)


def test_a_user_who_loses_access_while_waiting_gets_no_result(outside: World) -> None:
    operation = outside.launch("one").operations.get()

    async def scenario() -> None:
        task = wait_request(outside, operation).send_off()
        await until(is_waiting)
        elsewhere(lambda: Membership.objects.filter(user=outside.people.bob).delete())
        end(operation)
        assert (await task).status == 404

    drive(scenario)


def test_a_wait_ends_when_its_client_disconnects(outside: World) -> None:
    operation = outside.launch("one").operations.get()

    async def scenario() -> None:
        request = wait_request(outside, operation)
        task = request.send_off()
        await until(is_waiting)
        request.leave()
        await task
        assert not is_waiting()

    drive(scenario)


def log_of_one(token: str) -> Request:
    return Request(token, f"{ACME}/clusters/one/nodes/hand-0/logs?follow=true")


def test_a_followed_log_ends_when_the_right_to_read_it_does(
    outside: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "CHECK_SECONDS", 0.05)
    outside.ready("one")
    losses = {
        "member removed": lambda: Membership.objects.filter(user=outside.people.bob).delete(),
        "made a viewer": lambda: Membership.objects.filter(user=outside.people.bob).update(role=Role.VIEWER),
        "token revoked": lambda: ApiToken.objects.filter(user=outside.people.bob).delete(),
        "user disabled": lambda: User.objects.filter(pk=outside.people.bob.pk).update(is_active=False),
    }

    async def scenario(loss: Any) -> None:
        token = await asyncio.to_thread(fresh_token, outside)
        request = log_of_one(token)
        task = request.send_off()
        await until(lambda: b"wrote this" in request.text)
        elsewhere(loss)
        await task
        assert request.status == 200

    for loss in losses.values():
        drive(partial(scenario, loss))


def fresh_token(world: World) -> str:
    """A new token of bob with all his rights."""
    try:
        User.objects.filter(pk=world.people.bob.pk).update(is_active=True)
        Membership.objects.update_or_create(
            tenant=world.people.acme, user=world.people.bob, defaults={"role": Role.MEMBER}
        )
        return a_token(world.people.bob)
    finally:
        connection.close()


def test_the_number_of_followed_logs_per_user_is_bounded(outside: World) -> None:
    outside.ready("one")

    async def scenario() -> None:
        bobs = [log_of_one(outside.bob.token) for _ in range(following.MOST_A_USER + 2)]
        tasks = [request.send_off() for request in bobs]
        await until(lambda: all(request.messages for request in bobs))
        refused = [request for request in bobs if request.status == 429]
        await until(lambda: all(request.text for request in refused))
        assert len(refused) == 2
        assert refused[0].body["reason"] == "TOO_MANY_REQUESTS"
        alices = log_of_one(outside.alice.token)
        tasks.append(alices.send_off())
        await until(lambda: b"wrote this" in alices.text)
        for request in (*bobs, alices):
            request.leave()
        await asyncio.gather(*tasks)
        # A reader who has left does not count any more.
        again = log_of_one(outside.bob.token)
        task = again.send_off()
        await until(lambda: b"wrote this" in again.text)
        again.leave()
        await task

    drive(scenario)


LISTENING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
)


def test_a_hundred_waits_use_no_thread_and_one_connection(outside: World) -> None:
    operation = outside.launch("one").operations.get()
    connections: list[int] = []

    def count() -> None:
        with connection.cursor() as cursor:
            cursor.execute(LISTENING)
            connections.append(cursor.fetchone()[0])

    async def scenario() -> None:
        tasks = [wait_request(outside, operation).send_off() for _ in range(100)]
        await until(lambda: waiters() == 100)
        assert (await Request(outside.bob.token, f"{ACME}/clusters").send_off()).status == 200
        elsewhere(count)
        end(operation)
        assert {task.body["state"] for task in await asyncio.gather(*tasks)} == {"succeeded"}

    drive(scenario)
    assert connections == [1]


@pytest.mark.parametrize(
    ("path", "query", "method"),
    [
        ("/api/v1/tenants/acme/operations/x", "wait=1", "GET"),
        ("/api/v1/tenants/acme/operations/01a1fb96-4ccf-733d-a0b8-aeec5e669288", "wait=61", "GET"),
        ("/api/v1/tenants/acme/operations/01a1fb96-4ccf-733d-a0b8-aeec5e669288", "wait=1&wait=2", "GET"),
        ("/api/v1/tenants/acme/operations/01a1fb96-4ccf-733d-a0b8-aeec5e669288", "wait=1", "POST"),
        ("/api/v1/tenants/acme/clusters", "wait=1", "GET"),
    ],
)
def test_other_requests_go_straight_to_the_application(path: str, query: str, method: str) -> None:
    assert wait_of({"type": "http", "path": path, "query_string": query.encode(), "method": method}) is None


def test_a_query_that_is_not_ascii_is_answered_like_any_other(outside: World) -> None:
    async def scenario() -> None:
        request = await Request(outside.bob.token, f"{ACME}/clusters?ph\xe4se=1").send_off()
        assert (request.status, request.body["errors"][0]["parameter"]) == (400, "ph\xe4se")

    drive(scenario)


def test_a_log_is_followed_until_the_reader_disconnects(outside: World) -> None:
    outside.ready("one")

    async def scenario() -> None:
        request = Request(outside.bob.token, f"{ACME}/clusters/one/nodes/hand-0/logs?follow=true")
        task = request.send_off()
        await until(lambda: b"wrote this" in request.text)
        assert not task.done()
        request.leave()
        await task
        assert request.status == 200

    drive(scenario)
