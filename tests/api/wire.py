"""HTTP/1.1 as bytes on a socket: whole requests, parts of requests, and idle connections."""

import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

SECONDS = 20.0


@dataclass(frozen=True)
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


def connected(address: str) -> socket.socket:
    url = urlsplit(address)
    return socket.create_connection((url.hostname, url.port), timeout=SECONDS)


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """Headers are named as in HTTP, with _ for -."""
    sent = {"Host": "localhost", "Content_Type": "application/json", "Content_Length": str(len(body))}
    if "Transfer_Encoding" in headers:
        del sent["Content_Length"]
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in (sent | headers).items()]
    return f"{method} {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + body


def chunked(body: bytes, size: int = 7) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def send(address: str, sent: bytes) -> Reply:
    """The first answer to these bytes."""
    with connected(address) as connection:
        connection.sendall(sent)
        return read(connection)


def send_part(address: str, sent: bytes) -> bytes:
    """Send these bytes only. Returns the answer up to the end of the connection."""
    with connected(address) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: _received(connection), b""))


def read(connection: socket.socket) -> Reply:
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return Reply(answer.status, answer.headers, answer.read())


@contextmanager
def many(address: str, count: int, sent: bytes = b"") -> Iterator[list[socket.socket]]:
    """Connections that have sent these bytes only."""
    opened: list[socket.socket] = []
    try:
        for _ in range(count):
            opened.append(connected(address))
            opened[-1].sendall(sent)
        yield opened
    finally:
        for connection in opened:
            connection.close()


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except ConnectionResetError:
        return b""
