"""Connections to one API server: address, TLS, credentials, proxy. Every connection is opened here."""

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

# A watch notices after some 40 seconds that its peer vanished without closing the connection.
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 20),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
)
SOCKET_OPTIONS = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), *_KEEPALIVE)


@dataclass(frozen=True, slots=True, eq=False)
class Access:
    """How one account connects to the API server.

    prefix: precedes every path of the API. tls None: plain HTTP. proxy: http://… or "". sent: headers that
    authenticate every call. certified: the account has a client certificate. agent: the user agent.
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
        """Headers of every call. One name may have several values."""
        headers = HTTPHeaderDict({"User-Agent": self.agent, "Accept": "application/json"})
        for name, value in self.sent:
            headers.add(name, value)
        return headers

    def dial(self, seconds: float = CONNECT_SECONDS) -> socket.socket:
        """A TCP connection, through the proxy if there is one, without TLS. `seconds` is its timeout."""
        proxy = urlsplit(self.proxy)
        address = (proxy.hostname, proxy.port or 80) if self.proxy else (self.host, self.port)
        plain = socket.create_connection(address, timeout=seconds)
        try:
            for option in SOCKET_OPTIONS:
                plain.setsockopt(*option)
            if self.proxy:
                self._connect_through_proxy(plain)
        except BaseException:
            plain.close()
            raise
        return plain

    def connect(self, seconds: float = CONNECT_SECONDS) -> socket.socket:
        """A connection with TLS, outside the pool. `seconds` is its timeout."""
        plain = self.dial(seconds)
        try:
            return self.tls.wrap_socket(plain, server_hostname=self.server_name) if self.tls else plain
        except BaseException:
            plain.close()
            raise

    def _connect_through_proxy(self, plain: socket.socket) -> None:
        """Raises OSError when the proxy refuses."""
        proxy = urlsplit(self.proxy)
        target = f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        if proxy.username is not None:
            login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
            lines.append(f"Proxy-Authorization: Basic {base64.b64encode(login).decode()}")
        plain.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = b""
        # Byte by byte: the bytes after the answer belong to TLS.
        while not answer.endswith(b"\r\n\r\n"):
            piece = plain.recv(1)
            if not piece or len(answer) > MOST_PROXY_ANSWER:
                raise OSError(f"the proxy {proxy.hostname}:{proxy.port or 80} gave no answer")
            answer += piece
        status = answer.split(b"\r\n", 1)[0].decode("latin-1")
        if status.split(" ")[1:2] != ["200"]:
            raise OSError(f"the proxy {proxy.hostname}:{proxy.port or 80} refused: {status[:100]}")


def tls_context(ca: bytes, certificate: bytes, key: bytes, *, verify: bool) -> ssl.SSLContext:
    """All arguments are in PEM. ca b"": trust the authorities of this machine.

    Raises OSError, ssl.SSLError, ValueError.
    """
    context = ssl.create_default_context(cadata=ca.decode("ascii", "ignore") if ca else None)
    # Authorities of clusters often lack the extensions that newer Pythons require.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate:
        # load_cert_chain reads only files. This one is in memory, so the key is never on a disk.
        held = os.memfd_create("client-certificate")
        try:
            os.write(held, certificate.rstrip() + b"\n" + key.rstrip() + b"\n")
            # Without this, OpenSSL would ask for the password of an encrypted key at the terminal.
            context.load_cert_chain(f"/proc/self/fd/{held}", password=lambda: b"")
        finally:
            os.close(held)
    return context


def pool(access: Access, check: Callable[[Any], None]) -> urllib3.HTTPConnectionPool:
    """Pooled connections. check: called with every new connection before its first call; the call raises its errors."""
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
        # http.client would otherwise reopen a closed connection in the middle of a call, without the check.
        auto_open = 0

        def _new_conn(self) -> Any:
            return access.dial(self.timeout or CONNECT_SECONDS)

    return Dialled
