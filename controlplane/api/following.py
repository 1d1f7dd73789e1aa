"""Requests that follow a node's log. Each has a thread from a pool of its own, and learns when its client has left."""

import asyncio
import re
import threading
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs
from uuid import UUID

from django.http import HttpRequest
from rest_framework.exceptions import Throttled

from controlplane.api.bodies import receive_of
from controlplane.api.long_poll import Application, Receive, Scope, Send
from controlplane.api.slots import Slot, Slots, address_of
from tenants.errors import TooBusy

THREADS: Final = 32
# One thread stays free to refuse further readers.
MOST: Final = THREADS - 1
MOST_A_USER: Final = 6
MOST_AN_ADDRESS: Final = 24

_PATH: Final = re.compile(r"/api/v1/tenants/[^/]+/clusters/[^/]+/nodes/[^/]+/logs")
_READER: Final = "slipway.reader"


@dataclass(slots=True)
class Reader:
    """A request that follows a log. gone: is set when its client has left."""

    slots: Slots
    address: str
    gone: threading.Event = field(default_factory=threading.Event)
    slot: Slot | None = None

    def admit(self, user: UUID) -> None:
        """Take a slot for the user. Raises TooBusy or Throttled."""
        if self.slots.is_full:
            raise TooBusy("Too many logs are followed at the moment.")
        self.slot = self.slots.acquire(str(user), self.address)
        if self.slot is None:
            raise Throttled(
                detail=f"You follow {MOST_A_USER} logs already, or too many are followed from here."
            )

    def leave(self) -> None:
        self.gone.set()
        if self.slot:
            self.slot.release()


def follows(scope: Scope) -> bool:
    return (
        scope["type"] == "http"
        and scope["method"] == "GET"
        and parse_qs(scope["query_string"].decode("latin-1")).get("follow") == ["true"]
        and bool(_PATH.fullmatch(scope["path"]))
    )


class Following:
    """The middleware. application: one with a pool of THREADS threads."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._slots = Slots(MOST, MOST_A_USER, MOST_AN_ADDRESS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reader = Reader(self._slots, address_of(scope))
        watching = asyncio.create_task(_watch(receive, reader.gone))
        try:
            await self._application({**scope, _READER: reader}, receive_of(b""), send)
        finally:
            reader.leave()
            watching.cancel()


async def _watch(receive: Receive, gone: threading.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    gone.set()


def reader_of(request: HttpRequest) -> Reader:
    """The reader that the middleware made. Without the middleware, one with slots of its own."""
    found = request.META.get("asgi.scope", {}).get(_READER)
    return found if isinstance(found, Reader) else Reader(Slots(1, 1, 1), "")
