"""Long polling: a client waits for the end of an operation without holding a thread or a database connection.

For `GET …/operations/{id}?wait=30` this middleware calls the application, keeps the answer while the operation is
live, and calls again when it has ended, and every 10 seconds. So the right to see it is checked at every call. Without
the middleware the application answers such a request at once.
"""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs

from controlplane.api.bodies import receive_of
from controlplane.api.listener import Listener
from controlplane.api.refusals import in_front
from controlplane.api.slots import Slot, Slots, address_of, user_of

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]

LONGEST: Final = 60
MOST: Final = 500
MOST_A_USER: Final = 100
MOST_AN_ADDRESS: Final = 400
RETRY_SECONDS: Final = 10
# A notification may be lost; then the wait sees the end this many seconds later.
POLL_SECONDS: Final = 10.0

_PATH: Final = re.compile(r"/api/v1/tenants/[^/]+/operations/([0-9a-fA-F-]{36})")
_LIVE: Final = frozenset({"pending", "running"})


@dataclass(frozen=True, slots=True)
class WaitRequest:
    """operation: its id. seconds: how long to wait at most."""

    operation: str
    seconds: int


def wait_of(scope: Scope) -> WaitRequest | None:
    """What the request waits for. None for other requests, and for those that the application refuses."""
    if scope["type"] != "http" or scope["method"] != "GET" or b"wait=" not in scope["query_string"]:
        return None
    found = _PATH.fullmatch(scope["path"])
    waits = parse_qs(scope["query_string"].decode("latin-1")).get("wait", [])
    if not found or len(waits) != 1 or not re.fullmatch("[0-9]{1,2}", waits[0]) or int(waits[0]) > LONGEST:
        return None
    return WaitRequest(found[1].lower(), int(waits[0]))


class LongPoll:
    """The middleware, once per process. Its listener is made in the loop that serves the first wait."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._listener: Listener | None = None
        self._slots = Slots(MOST, MOST_A_USER, MOST_AN_ADDRESS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send, wait: WaitRequest) -> None:
        listener = self._listener = self._listener or Listener()
        if self._slots.is_full or not await listener.listen():
            await self._application(scope, receive, send)
            return
        with listener.watch(wait.operation) as changed:
            answer = await self._answer(scope, receive, wait, listener, changed)
        for message in answer:
            await send(message)

    async def _answer(
        self, scope: Scope, receive: Receive, wait: WaitRequest, listener: Listener, changed: asyncio.Event
    ) -> list[Message]:
        deadline = time.monotonic() + wait.seconds
        gone = asyncio.create_task(_disconnected(receive))
        slot: Slot | None = None
        try:
            while True:
                changed.clear()
                answer, user = await self._call(scope)
                left = deadline - time.monotonic()
                if gone.done() or left <= 0 or not _is_live(answer):
                    return answer
                slot = slot or self._slots.acquire(user, address_of(scope))
                if slot is None:
                    return _too_many()
                await _first(changed, gone, min(left, POLL_SECONDS))
                await listener.listen()
        finally:
            gone.cancel()
            if slot:
                slot.release()

    async def _call(self, scope: Scope) -> tuple[list[Message], str]:
        """The application's whole answer, and the id of the user."""
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        own = dict(scope)
        await self._application(own, receive_of(b""), keep)
        return messages, user_of(own)


def _too_many() -> list[Message]:
    detail = f"You wait for {MOST_A_USER} operations already. Ask without wait, or a little later."
    return list(in_front(429, "TOO_MANY_REQUESTS", "Too many requests", detail, retry_after=RETRY_SECONDS))


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _first(changed: asyncio.Event, gone: asyncio.Task[None], seconds: float) -> None:
    """Returns at a change, when the client has gone, or after some seconds."""
    change = asyncio.ensure_future(changed.wait())
    await asyncio.wait({change, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    change.cancel()


def _is_live(answer: list[Message]) -> bool:
    if answer[0].get("status") != 200:
        return False
    document = json.loads(b"".join(message.get("body", b"") for message in answer[1:]))
    return document["state"] in _LIVE
