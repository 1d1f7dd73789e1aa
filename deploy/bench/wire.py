"""A cheap HTTP/1.1 client for asyncio with persistent connections."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

MOST_LINE = 4 * 1024 * 1024


@dataclass
class AsyncConnection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@dataclass
class Server:
    """Each request uses a free connection, or opens one. headers: sent with every request."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    _free: list[AsyncConnection] = field(default_factory=list)

    async def send(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Returns the body of the answer. Raises RuntimeError for a status of 400 or more."""
        connection = self._free.pop() if self._free else await self._open()
        connection.writer.write(self._request(method, path, body))
        status, headers = await _head(connection.reader)
        answer = await _whole(connection.reader, headers)
        self._free.append(connection)
        if status >= 400:
            raise RuntimeError(f"{method} {path}: {status} {answer[:500]!r}")
        return answer

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        return json.loads(await self.send(method, path, b"" if body is None else json.dumps(body).encode()))

    @asynccontextmanager
    async def lines(self, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yields the lines of an endless answer, on a connection of its own."""
        connection = await self._open()
        try:
            connection.writer.write(self._request("GET", path, b""))
            status, headers = await _head(connection.reader)
            if status != 200 or "chunked" not in headers.get("transfer-encoding", ""):
                raise RuntimeError(f"GET {path}: {status}")
            yield _lines(connection.reader)
        finally:
            connection.writer.close()

    def close(self) -> None:
        while self._free:
            self._free.pop().writer.close()

    async def _open(self) -> AsyncConnection:
        return AsyncConnection(
            *await asyncio.open_connection(self.host, self.port, ssl=self.tls, limit=MOST_LINE)
        )

    def _request(self, method: str, path: str, body: bytes) -> bytes:
        more = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n{more}\r\n"
        )
        return head.encode() + body


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    first, *others = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in others if line)
    return int(first.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}


async def _whole(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if "chunked" in headers.get("transfer-encoding", ""):
        return b"".join([piece async for piece in _pieces(reader)])
    return await reader.readexactly(int(headers.get("content-length", "0")))


async def _pieces(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int(await reader.readuntil(b"\r\n"), 16):
        yield (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    begun = b""
    async for piece in _pieces(reader):
        *whole, begun = (begun + piece).split(b"\n")
        for line in whole:
            yield line
