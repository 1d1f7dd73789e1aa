"""One way to an API server: address, TLS, credentials, proxy. Every connection of ours is opened here."""

import base64
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3 import HTTPHeaderDict

from controlplane.provisioners.kubernetes.client import parallel

CONNECT_SECONDS = 2.0
MOST_PROXY_ANSWER = 16 * 1024

# A peer that vanished without a word is noticed after some 40 seconds, on connections that wait for news.
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 20),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
)
SOCKET_OPTIONS = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), *_KEEPALIVE)


@dataclass(frozen=True, slots=True, eq=False)
class Access:
    """prefix: path before every path of the API. tls None: plain HTTP. proxy: http://… or "".

    sent: headers of every call that say who asks. certified: TLS says it too.
    """

    host: str
    port: int
    prefix: str
    tls: ssl.SSLContext | None
    server_name: str
    sent: tuple[tuple[str, str], ...] = field(repr=False)
    proxy: str = field(default="", repr=False)
    certified: bool = False
    agent: str = "slipway"

    def headers(self) -> HTTPHeaderDict:
        """One name may have several values."""
        headers = HTTPHeaderDict({"User-Agent": self.agent, "Accept": "application/json"})
        for name, value in self.sent:
            headers.add(name, value)
        return headers

    def dial(self, seconds: float = CONNECT_SECONDS) -> socket.socket:
        """A connection as far as TLS begins; its reads time out after `seconds` until told otherwise."""
        way = urlsplit(self.proxy)
        where = (way.hostname, way.port or 80) if self.proxy else (self.host, self.port)
        plain = socket.create_connection(where, timeout=seconds)
        try:
            for option in SOCKET_OPTIONS:
                plain.setsockopt(*option)
            if self.proxy:
                self._ask_proxy(plain)
        except BaseException:
            plain.close()
            raise
        return plain

    def connect(self, seconds: float = CONNECT_SECONDS) -> socket.socket:
        """A connection of its own, outside the pool."""
        plain = self.dial(seconds)
        try:
            return self.tls.wrap_socket(plain, server_hostname=self.server_name) if self.tls else plain
        except BaseException:
            plain.close()
            raise

    def _ask_proxy(self, plain: socket.socket) -> None:
        """Raises OSError when it does not let us through."""
        way, target = (
            urlsplit(self.proxy),
            f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}",
        )
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        if way.username is not None:
            known = f"{unquote(way.username)}:{unquote(way.password or '')}".encode()
            lines.append(f"Proxy-Authorization: Basic {base64.b64encode(known).decode()}")
        plain.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = b""
        # One byte at a time: what follows the answer belongs to TLS.
        while not answer.endswith(b"\r\n\r\n"):
            piece = plain.recv(1)
            if not piece or len(answer) > MOST_PROXY_ANSWER:
                raise OSError(f"the proxy {way.hostname}:{way.port or 80} gave no answer")
            answer += piece
        status = answer.split(b"\r\n", 1)[0].decode("latin-1")
        if status.split(" ")[1:2] != ["200"]:
            raise OSError(f"the proxy {way.hostname}:{way.port or 80} refused: {status[:100]}")


def tls_context(ca: bytes, certificate: bytes, key: bytes, *, verify: bool) -> ssl.SSLContext:
    """Raises OSError, ssl.SSLError, ValueError. All in PEM; ca b"" trusts what the machine trusts."""
    context = ssl.create_default_context(cadata=ca.decode("ascii", "ignore") if ca else None)
    # Authorities of clusters are often made without the extensions that newer Pythons ask for.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate:
        # It is read from a file alone; this one is in memory, and gone when it was read.
        held = os.memfd_create("client-certificate")
        try:
            os.write(held, certificate.rstrip() + b"\n" + key.rstrip() + b"\n")
            # A key with a password would ask for it at the terminal.
            context.load_cert_chain(f"/proc/self/fd/{held}", password=lambda: b"")
        finally:
            os.close(held)
    return context


def pool(access: Access, check: Callable[[Any], None]) -> urllib3.HTTPConnectionPool:
    """check: is given every connection that was opened, also in place of another. What it raises, the call raises."""
    options: dict[str, Any] = {"maxsize": 2 * parallel.AT_ONCE}
    kind: Any = urllib3.HTTPConnectionPool
    if access.tls is not None:
        kind = urllib3.HTTPSConnectionPool
        options |= {"ssl_context": access.tls, "server_hostname": access.server_name}

    class Pool(kind):  # type: ignore[misc]
        ConnectionCls = _dialled(kind.ConnectionCls, access)

        def _validate_conn(self, connection: Any) -> None:
            is_new = connection.is_closed
            if is_new:
                connection.connect()
            super()._validate_conn(connection)
            if is_new:
                check(connection)

    made: urllib3.HTTPConnectionPool = Pool(access.host, access.port, **options)
    return made


def _dialled(kind: Any, access: Access) -> Any:
    class Dialled(kind):  # type: ignore[misc]
        # One that was closed is never opened again in the middle of a call, unchecked.
        auto_open = 0

        def _new_conn(self) -> Any:
            return access.dial(self.timeout or CONNECT_SECONDS)

    return Dialled
