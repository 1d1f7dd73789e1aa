"""Reading along with a node's log: a thread each from a pool of its own, told when its reader has left."""

import asyncio
import re
import threading
from typing import Any, Final
from urllib.parse import parse_qs

from django.http import HttpRequest

from controlplane.api.waiting import Application, Receive, Scope, Send

MOST: Final = 32

_PATH: Final = re.compile(r"/api/v1/tenants/[^/]+/clusters/[^/]+/nodes/[^/]+/logs")
_GONE: Final = "slipway.gone"
_FULL: Final = "slipway.full"


def follows(scope: Scope) -> bool:
    return (
        scope["type"] == "http"
        and parse_qs(scope["query_string"].decode("latin-1")).get("follow") == ["true"]
        and bool(_PATH.fullmatch(scope["path"]))
    )


class Following:
    """The middleware. application: one with a pool of MOST threads."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._readers = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = threading.Event()
        scope = {**scope, _GONE: gone, _FULL: self._readers >= MOST - 1}
        self._readers += 1
        watching = asyncio.create_task(_watch(receive, gone))
        try:
            await self._application(scope, _no_body, send)
        finally:
            gone.set()
            watching.cancel()
            self._readers -= 1


async def _watch(receive: Receive, gone: threading.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    gone.set()


async def _no_body() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


def is_full(request: HttpRequest) -> bool:
    """Whether as many read along already as may; always where the request did not come through the middleware."""
    return bool(_scope(request).get(_FULL, "asgi.scope" in request.META))


def gone_of(request: HttpRequest) -> threading.Event:
    """Set when the reader has left; never without the middleware."""
    found = _scope(request).get(_GONE)
    return found if isinstance(found, threading.Event) else threading.Event()


def _scope(request: HttpRequest) -> dict[str, Any]:
    scope: dict[str, Any] = request.META.get("asgi.scope", {})
    return scope
