"""Runs the WSGI application behind ASGI: each request has a thread from a bounded pool.

A complete answer goes from its thread to the event loop in one step. A step per message costs more than making a small
answer, because each step waits for the interpreter's lock. The loop sends files, so that a slow reader of a file holds
no thread. decisions/0002 has the measurements.
"""

import asyncio
import contextvars
import io
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, Final

import structlog
from a2wsgi.wsgi import build_environ

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
# Returns an awaitable, not always a coroutine: that depends on the server.
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[str, str]]

# The connection of a reader that takes nothing for this long is given up.
SEND_SECONDS: Final = 20.0
CHUNK: Final = 64 * 1024

_PART: Final = "http.response.body"
log = structlog.get_logger(__name__)


class SlowReaderError(Exception):
    """The client reads no more of a streamed answer."""


class FileBody:
    """WSGI's file_wrapper. It marks an answer that is a file."""

    def __init__(self, file: IO[bytes], size: int = CHUNK) -> None:
        self.file = file


class InThreads:
    """An ASGI application that runs `wsgi` for up to `threads` requests. `receive` must return whole bodies."""

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
            asyncio.run_coroutine_threadsafe(_sent(send, message), loop).result()

        run = contextvars.copy_context().run
        try:
            rest = await loop.run_in_executor(
                self._pool, run, self._run, _environ(scope, body), send_from_thread
            )
            if isinstance(rest[-1], FileBody):
                await _send_file(rest[0], rest[-1].file, send)
                return
            for message in rest:
                await send(message)
        except SlowReaderError:
            # The head was sent, so the answer can only stay incomplete.
            log.info("reader_left", path=scope["path"])

    def _run(self, environ: Any, send: Callable[[Message], None]) -> list[Any]:
        """Runs in a thread. Returns what is still to be sent: messages, or the head and a FileBody."""
        head: Message = {"type": "http.response.start"}

        def start_response(status: str, headers: Headers, exc_info: Any = None) -> None:
            head.update(status=int(status.split(" ", 1)[0]), headers=_encoded(headers))

        response = self._wsgi(environ, start_response)
        if isinstance(response, FileBody):
            return [head, response]
        try:
            if getattr(response, "streaming", True):
                return _stream(head, response, send)
            return [head, {"type": _PART, "body": b"".join(response)}]
        finally:
            response.close()


def _environ(scope: Any, body: bytes) -> dict[str, Any]:
    environ: dict[str, Any] = build_environ(scope, io.BytesIO(body))  # type: ignore[arg-type,assignment]
    # The body was read whole, so its transfer encoding does not count any more.
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    return {**environ, "CONTENT_LENGTH": str(len(body)), "wsgi.file_wrapper": FileBody}


def _stream(head: Message, parts: Iterable[bytes], send: Callable[[Message], None]) -> list[Message]:
    send(head)
    for part in parts:
        send({"type": _PART, "body": part, "more_body": True})
    return [{"type": _PART, "body": b""}]


async def _send_file(head: Message, file: IO[bytes], send: Send) -> None:
    try:
        await send(head)
        while part := await asyncio.to_thread(file.read, CHUNK):
            await _sent(send, {"type": _PART, "body": part, "more_body": True})
        await send({"type": _PART, "body": b""})
    finally:
        file.close()


async def _sent(send: Send, message: Message) -> None:
    """Raises SlowReaderError."""
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await send(message)
    except TimeoutError:
        raise SlowReaderError from None


def _encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [
        (name.strip().lower().encode("latin1"), value.strip().encode("latin1")) for name, value in headers
    ]


async def _lifespan(receive: Receive, send: Send) -> None:
    for moment in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{moment}.complete"})
