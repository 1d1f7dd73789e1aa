"""Answers of the API server that go on for as long as there is news, each on a connection of its own."""

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


class Known(Protocol):
    """Makes a call, see Client.known."""

    def __call__(self, call: Callable[[Access], T]) -> T: ...


class Stream(Iterator[bytes]):
    """Pieces of the answer to one GET, or its lines. Ends with the answer, raises Temporary or Permanent.

    silence: seconds that nothing may come. `close` may be called from any thread: a read that waits ends.
    """

    def __init__(self, known: Known, path: str, *, silence: float, lines: bool = False) -> None:
        self._known, self._path, self._silence, self._lines = known, path, silence, lines
        self._socket: socket.socket | None = None
        self._answer: http.client.HTTPResponse | None = None
        self._closed = threading.Event()

    def open(self) -> "Stream":
        """Returns once the API server has begun to answer; a log that is silent begins with its first byte."""
        if self._answer is None:
            try:
                self._known(self._open)
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
        """Raises Unauthenticated; may be called again then."""
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
        """What broke because we closed it is no failure."""
        was_closed = self._closed.is_set()
        self.close()
        if not was_closed:
            raise Silence() if isinstance(error, TimeoutError) else unreachable(error) from error


class Silence(SiteUnknown):
    """Nothing came for longer than it should have."""

    def __init__(self) -> None:
        super().__init__("SITE_UNREACHABLE", "nothing was heard for too long", delay=0.5)


def _hang_up(connected: socket.socket) -> None:
    """Ends a read in another thread too, which closing alone would not."""
    try:
        # Not the TLS socket's own: that one takes itself apart while the other thread reads.
        socket.socket.shutdown(connected, socket.SHUT_RDWR)
    except OSError:
        return
