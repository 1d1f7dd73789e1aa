"""Reads the body of a request whole, bounded in size and time, before the request gets a thread.

So a client that announces a body and sends none holds no thread, and one that sends without end fills no memory.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from controlplane.api.refusals import in_front

# What the parsers accept, and room for the encoding of a form.
MOST_BYTES: Final = 1024 * 1024 + 64 * 1024
SECONDS: Final = 20.0

Receive = Callable[[], Awaitable[Any]]

_REFUSALS: Final = {
    400: ("INCOMPLETE", "Incomplete request", "The body ended before its announced end; nothing was done."),
    408: ("REQUEST_TIMEOUT", "Request timeout", f"The body did not arrive in {SECONDS:.0f} seconds."),
    413: ("TOO_LARGE", "Too large", "The body is larger than 1 MiB."),
}


async def read_whole(receive: Receive) -> bytes | int:
    """The body, or the status of the refusal."""
    try:
        return await asyncio.wait_for(_read(receive), SECONDS)
    except TimeoutError:
        return 408


async def _read(receive: Receive) -> bytes | int:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            # Part of a body may mean something else than the whole body.
            return 400
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MOST_BYTES:
            return 413
        if not message.get("more_body"):
            return b"".join(parts)


def receive_of(body: bytes) -> Receive:
    """A `receive` that returns this body."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def refusal(status: int) -> list[dict[str, Any]]:
    """The ASGI messages of the refusal with this status."""
    return in_front(status, *_REFUSALS[status])
