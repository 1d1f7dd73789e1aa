"""`InThreads` runs a WSGI application in threads."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from controlplane.api import threads
from controlplane.api.threads import InThreads

SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/x",
    "query_string": b"a=b",
    "http_version": "1.1",
    "headers": [(b"content-type", b"text/plain"), (b"content-length", b"2")],
}
Sent = list[dict[str, Any]]


class Whole(list[bytes]):
    streaming = False
    closed = False

    def close(self) -> None:
        self.closed = True


class Parts:
    """Returns the next part when the test says so."""

    streaming = True

    def __init__(self, go: threading.Event) -> None:
        self.go, self.closed = go, threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        yield b"first"
        assert self.go.wait(20)
        yield b"second"

    def close(self) -> None:
        self.closed.set()


def answering(response: Any, status: str = "200 OK") -> tuple[InThreads, dict[str, Any]]:
    received: dict[str, Any] = {}

    def wsgi(environ: Any, start_response: Any) -> Any:
        received.update(environ, body=environ["wsgi.input"].read())
        start_response(status, [("X-One", "1")])
        return response

    return InThreads(wsgi, 1), received


def ask(application: InThreads, send: Callable[[dict[str, Any]], Any] | None = None) -> Sent:
    sent: Sent = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"hi"}

    async def keep(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(application(SCOPE, receive, send or keep))
    return sent


def test_a_whole_answer_is_two_messages_and_closed() -> None:
    response = Whole([b"one", b"two"])
    application, received = answering(response, "201 Created")
    head, body = ask(application)
    assert head == {"type": "http.response.start", "status": 201, "headers": [(b"x-one", b"1")]}
    assert body == {"type": "http.response.body", "body": b"onetwo"}
    assert response.closed
    assert (received["REQUEST_METHOD"], received["PATH_INFO"], received["QUERY_STRING"]) == (
        "POST",
        "/x",
        "a=b",
    )
    assert (received["CONTENT_LENGTH"], received["body"]) == ("2", b"hi")


def test_parts_are_sent_one_by_one() -> None:
    go = threading.Event()
    response = Parts(go)
    application, _ = answering(response)
    sent: Sent = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        if message.get("body") == b"first":
            go.set()

    ask(application, send)
    assert [message.get("body") for message in sent] == [None, b"first", b"second", b""]
    assert [message.get("more_body", False) for message in sent] == [False, True, True, False]
    assert response.closed.is_set()


def test_an_answer_to_a_disconnected_client_is_closed() -> None:
    response = Parts(threading.Event())
    application, _ = answering(response)

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        ask(application, send)
    assert response.closed.wait(20)


class Awaited:
    """An awaitable that is not a coroutine, like those of granian."""

    def __init__(self, future: "asyncio.Future[None]") -> None:
        self._future = future

    def __await__(self) -> Iterator[Any]:
        return self._future.__await__()


def test_a_stream_ends_when_its_client_stops_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "SEND_SECONDS", 0.05)
    response = Parts(threading.Event())
    application, _ = answering(response)
    # The future is created in the running loop and never completes.
    ask(application, lambda message: Awaited(asyncio.get_running_loop().create_future()))
    assert response.closed.is_set()


def test_no_more_run_at_a_time_than_there_are_threads() -> None:
    most, now, lock = [0], [0], threading.Lock()
    both = threading.Event()

    def wsgi(environ: Any, start_response: Any) -> Any:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
            if now[0] == 2:
                both.set()
        assert both.wait(20)
        with lock:
            now[0] -= 1
        start_response("200 OK", [])
        return Whole([b""])

    application = InThreads(wsgi, 2)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: dict[str, Any]) -> None: ...

    async def many() -> None:
        await asyncio.gather(*(application(SCOPE, receive, send) for _ in range(6)))

    asyncio.run(many())
    assert most == [2]
