"""Waiting for an operation, in front of the application that knows it.

`GET …/operations/{id}?wait=30` asks the application, holds its answer back while the operation is live, and asks
again when it has ended, and now and then. So a wait costs neither a thread nor a database connection, and who may see
what is decided anew at every answer. Served without this, the same request is answered at once.
"""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs

from controlplane.api.listening import Listener
from controlplane.api.places import Place, Places, address_of, asker_of
from controlplane.api.refusals import in_front

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
# Should a notice be missed, it is noticed this many seconds later.
LOOK_AGAIN_SECONDS: Final = 10.0

_PATH: Final = re.compile(r"/api/v1/tenants/[^/]+/operations/([0-9a-fA-F-]{36})")
_LIVE: Final = frozenset({"pending", "running"})


@dataclass(frozen=True, slots=True)
class Wish:
    operation: str
    seconds: int


def wish_of(scope: Scope) -> Wish | None:
    """What the request wants to wait for; None for every other request, and for what the application refuses."""
    if scope["type"] != "http" or scope["method"] != "GET" or b"wait=" not in scope["query_string"]:
        return None
    found = _PATH.fullmatch(scope["path"])
    waits = parse_qs(scope["query_string"].decode("latin-1")).get("wait", [])
    if not found or len(waits) != 1 or not re.fullmatch("[0-9]{1,2}", waits[0]) or int(waits[0]) > LONGEST:
        return None
    return Wish(found[1].lower(), int(waits[0]))


class Waiting:
    """The middleware. One a process; its listener is made in the loop that serves the first wait."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._listener: Listener | None = None
        self._places = Places(MOST, MOST_A_USER, MOST_AN_ADDRESS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send, wish: Wish) -> None:
        listener = self._listener = self._listener or Listener()
        if self._places.is_full or not await listener.listen():
            await self._application(scope, receive, send)
            return
        with listener.watch(wish.operation) as changed:
            answer = await self._answer(scope, receive, wish, listener, changed)
        for message in answer:
            await send(message)

    async def _answer(
        self, scope: Scope, receive: Receive, wish: Wish, listener: Listener, changed: asyncio.Event
    ) -> list[Message]:
        deadline = time.monotonic() + wish.seconds
        gone = asyncio.create_task(_disconnected(receive))
        place: Place | None = None
        try:
            while True:
                changed.clear()
                answer, asker = await self._ask(scope)
                left = deadline - time.monotonic()
                if gone.done() or left <= 0 or not _is_live(answer):
                    return answer
                place = place or self._places.take(asker, address_of(scope))
                if place is None:
                    return _too_many()
                await _first(changed, gone, min(left, LOOK_AGAIN_SECONDS))
                await listener.listen()
        finally:
            gone.cancel()
            if place:
                place.give_back()

    async def _ask(self, scope: Scope) -> tuple[list[Message], str]:
        """The application's whole answer, and who asked."""
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        mine = dict(scope)
        await self._application(mine, _no_body, keep)
        return messages, asker_of(mine)


def _too_many() -> list[Message]:
    detail = f"You wait for {MOST_A_USER} operations already. Ask without wait, or a little later."
    return list(in_front(429, "TOO_MANY_REQUESTS", "Too many requests", detail, retry_after=RETRY_SECONDS))


async def _no_body() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _first(changed: asyncio.Event, gone: asyncio.Task[None], seconds: float) -> None:
    news = asyncio.create_task(_heard(changed))
    await asyncio.wait({news, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    news.cancel()


async def _heard(changed: asyncio.Event) -> None:
    await changed.wait()


def _is_live(answer: list[Message]) -> bool:
    if answer[0].get("status") != 200:
        return False
    document = json.loads(b"".join(message.get("body", b"") for message in answer[1:]))
    return document["state"] in _LIVE
