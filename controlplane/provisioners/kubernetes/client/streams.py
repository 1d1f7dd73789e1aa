"""Answers of the API server that do not end by themselves: logs and watches. Each has a connection of its own."""

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from controlplane.provisioners.base import SiteUnknown
from controlplane.provisioners.kubernetes.client.connections import CONNECT_SECONDS, Access
from controlplane.provisioners.kubernetes.client.errors import MOST_WORDS, Refusal, unreachable

# One object of the API is at most 1.5 MiB (etcd's bound); its event is a little more.
MOST_LINE = 4 * 1024 * 1024
_CHUNK = 64 * 1024
T = TypeVar("T")


class WithCredentials(Protocol):
    """See Client.with_credentials."""

    def __call__(self, call: Callable[[Access], T]) -> T: ...


class Stream(Iterator[bytes]):
    """The answer to one GET, in pieces or in lines. Ends with the answer; raises Temporary or Permanent.

    silence: Silence is raised when nothing is received for so many seconds. `close` may be called from any thread and
    ends a read that waits.
    """

    def __init__(
        self, with_credentials: WithCredentials, path: str, *, silence: float, lines: bool = False
    ) -> None:
        self._with_credentials, self._path, self._silence, self._lines = (
            with_credentials,
            path,
            silence,
            lines,
        )
        self._socket: socket.socket | None = None
        self._answer: http.client.HTTPResponse | None = None
        self._closed = threading.Event()

    def open(self) -> "Stream":
        """Returns when the API server has begun to answer. For an empty log, that is with its first byte."""
        if self._answer is None:
            try:
                self._with_credentials(self._open)
            except (OSError, http.client.HTTPException) as error:
                self._fail(error)
        return self

    def __next__(self) -> bytes:
        answer = self.open()._answer
        if self._closed.is_set() or answer is None:
            raise StopIteration
        try:
            piece = answer.readline(MOST_LINE) if self._lines else answer.read1(_CHUNK)
        except (OSError, ValueError, AttributeError, http.client.HTTPException) as error:
            self._fail(error)
            raise StopIteration from None
        if not piece:
            self.close()
            raise StopIteration
        return piece

    def close(self) -> None:
        self._closed.set()
        if self._socket is not None:
            _hang_up(self._socket)
            if self._answer is not None:
                self._answer.close()
            self._socket.close()

    def _open(self, access: Access) -> None:
        """Raises Unauthenticated. The caller may then call it again with other credentials."""
        connected = access.connect(CONNECT_SECONDS)
        self._socket = connected
        if self._closed.is_set():
            return self.close()
        connected.settimeout(self._silence)
        connection = http.client.HTTPConnection(access.host, access.port)
        connection.sock = connected
        connection.request("GET", access.prefix + self._path, headers=access.headers())
        answer = connection.getresponse()
        if answer.status != 200:
            refusal = Refusal.read(answer.status, dict(answer.headers), answer.read(MOST_WORDS * 8))
            connected.close()
            raise refusal.error()
        self._answer = answer
        return None

    def _fail(self, error: Exception) -> None:
        """Close, and raise the error unless the stream was closed on purpose."""
        was_closed = self._closed.is_set()
        self.close()
        if not was_closed:
            raise Silence() if isinstance(error, TimeoutError) else unreachable(error) from error


class Silence(SiteUnknown):
    """Nothing was received for longer than `silence` seconds."""

    def __init__(self) -> None:
        super().__init__("SITE_UNREACHABLE", "the API server sent nothing for too long", delay=0.5)


def _hang_up(connected: socket.socket) -> None:
    """Also ends a read in another thread, which `close` alone would not."""
    try:
        # SSLSocket.shutdown would drop the TLS state while the other thread reads.
        socket.socket.shutdown(connected, socket.SHUT_RDWR)
    except OSError:
        return
