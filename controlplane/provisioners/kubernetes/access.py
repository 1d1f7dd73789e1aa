"""How one account gets through to an API server: address, TLS, token. Nothing here knows what is asked there."""

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

CONNECT_SECONDS = 2.0

# A peer that vanished without a word is noticed after some 40 seconds, on connections that wait for news.
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 20),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
)
SOCKET_OPTIONS = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), *_KEEPALIVE)


@dataclass(frozen=True, slots=True)
class Access:
    """prefix: path before every path of the API. tls None: plain HTTP. token: a fresh Authorization header, or ""."""

    host: str
    port: int
    prefix: str
    tls: ssl.SSLContext | None
    server_name: str
    agent: str
    token: Callable[[], str] = field(repr=False)

    def headers(self) -> dict[str, str]:
        """Raises OSError when the token cannot be read."""
        token = self.token()
        named = {"User-Agent": self.agent, "Accept": "application/json"}
        return {**named, "Authorization": token} if token else named

    def connect(self, seconds: float = CONNECT_SECONDS) -> socket.socket:
        """A connection of its own, outside the pool; its reads time out after `seconds` until told otherwise."""
        plain = socket.create_connection((self.host, self.port), timeout=seconds)
        try:
            for option in SOCKET_OPTIONS:
                plain.setsockopt(*option)
            return self.tls.wrap_socket(plain, server_hostname=self.server_name) if self.tls else plain
        except BaseException:
            plain.close()
            raise


def tls_context(ca_file: str, cert_file: str, key_file: str, *, verify: bool) -> ssl.SSLContext:
    """Raises OSError, ssl.SSLError. ca_file "" trusts what the machine trusts."""
    context = ssl.create_default_context(cafile=ca_file or None)
    # Authorities of clusters are often made without the extensions that newer Pythons ask for.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert_file:
        context.load_cert_chain(cert_file, key_file or None)
    return context
