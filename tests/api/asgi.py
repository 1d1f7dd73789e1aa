"""Calls the ASGI application in this process, with one event loop and a real database."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from controlplane.api.listener import Listener

SECONDS = 20.0


def front() -> Any:
    """The application. It is imported by the first request, because it reads settings that tests change."""
    from controlplane import asgi

    return asgi


def listener() -> Listener | None:
    found: Listener | None = front().long_poll._listener
    return found


def waiters() -> int:
    found = listener()
    return sum(map(len, found._waiters.values())) if found else 0


@dataclass
class Request:
    """A request under way. leave: closes the connection as a client does."""

    token: str
    url: str
    messages: list[dict[str, Any]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    def send_off(self) -> "asyncio.Task[Request]":
        return asyncio.create_task(self._run())

    async def _run(self) -> "Request":
        url = urlsplit(self.url)
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": url.path,
            "query_string": url.query.encode(),
            "headers": [(b"host", b"localhost"), (b"authorization", f"Bearer {self.token}".encode())],
            "server": ("localhost", 80),
        }
        await asyncio.wait_for(front().application(scope, self._receive, self._send), SECONDS)
        return self

    async def _receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.messages.append(message)
        self.arrived.set()

    def leave(self) -> None:
        self.left.set()

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def text(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    @property
    def body(self) -> Any:
        return json.loads(self.text)


def drive(scenario: Callable[[], Awaitable[Any]]) -> Any:
    """Run the coroutine in an event loop of its own; the listener ends with the loop."""

    async def whole() -> Any:
        try:
            return await scenario()
        finally:
            if found := listener():
                found.close()
            front().long_poll._listener = None

    return asyncio.run(whole())


async def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition is true. Fails after a deadline."""
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.01)
