"""The WSGI application behind ASGI: a thread from a bounded pool for each request.

An answer that is there as a whole goes over from its thread to the loop in one step. A step for the head, one for
the body and one for the end cost more than many an answer, as each waits for the interpreter's lock.
"""

import asyncio
import contextvars
import io
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from a2wsgi.wsgi import build_environ

Message = dict[str, Any]
Receive = Callable[[], Any]
Send = Callable[[Message], Any]
Headers = list[tuple[str, str]]

_PART: Final = "http.response.body"


class InThreads:
    """ASGI for `wsgi`, at most `threads` requests at a time. Bodies are given whole by `receive`."""

    def __init__(self, wsgi: Callable[..., Any], threads: int) -> None:
        self._wsgi = wsgi
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="request")

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            await self._answer(scope, (await receive()).get("body", b""), send)

    async def _answer(self, scope: Any, body: bytes, send: Send) -> None:
        loop = asyncio.get_running_loop()

        def send_from_thread(message: Message) -> None:
            asyncio.run_coroutine_threadsafe(send(message), loop).result()

        environ = build_environ(scope, io.BytesIO(body))  # type: ignore[arg-type]
        run = contextvars.copy_context().run
        rest = await loop.run_in_executor(self._pool, run, self._run, environ, send_from_thread)
        for message in rest:
            await send(message)

    def _run(self, environ: Any, send: Callable[[Message], None]) -> list[Message]:
        """In a thread: what is still to be sent."""
        head: Message = {"type": "http.response.start"}

        def start_response(status: str, headers: Headers, exc_info: Any = None) -> None:
            head.update(status=int(status.split(" ", 1)[0]), headers=_encoded(headers))

        response = self._wsgi(environ, start_response)
        try:
            if getattr(response, "streaming", True):
                return _stream(head, response, send)
            return [head, {"type": _PART, "body": b"".join(response)}]
        finally:
            response.close()


def _stream(head: Message, parts: Iterable[bytes], send: Callable[[Message], None]) -> list[Message]:
    send(head)
    for part in parts:
        send({"type": _PART, "body": part, "more_body": True})
    return [{"type": _PART, "body": b""}]


def _encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [
        (name.strip().lower().encode("latin1"), value.strip().encode("latin1")) for name, value in headers
    ]


async def _lifespan(receive: Receive, send: Send) -> None:
    for moment in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{moment}.complete"})
