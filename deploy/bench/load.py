"""A cheap load generator: raw HTTP/1.1 over persistent connections, one thread per client."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from controlplane.standalone.web.ports import HOST


@dataclass
class Tally:
    """seconds: the duration of each request. statuses: HTTP status -> number of answers. elapsed: seconds in all."""

    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    elapsed: float = 0.0


class BlockingConnection:
    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((HOST, port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._left = b""

    def send(self, request: bytes) -> tuple[int, bytes]:
        """Returns status and body of the answer, which must have a Content-Length."""
        self._socket.sendall(request)
        buffer = self._left
        while (end := buffer.find(b"\r\n\r\n")) < 0:
            buffer += self._more()
        head = buffer[:end].lower()
        at = head.index(b"content-length:") + 15
        length = int(head[at : head.find(b"\r\n", at) if head.find(b"\r\n", at) > 0 else len(head)])
        while len(buffer) < end + 4 + length:
            buffer += self._more()
        self._left = buffer[end + 4 + length :]
        return int(buffer[9:12]), buffer[end + 4 : end + 4 + length]

    def close(self) -> None:
        self._socket.close()

    def _more(self) -> bytes:
        part = self._socket.recv(262144)
        if not part:
            raise ConnectionError("the server closed the connection")
        return part


def request(method: str, path: str, token: str, body: bytes = b"", extra: str = "") -> bytes:
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    )
    return head.encode() + body


def run(port: int, requests: Callable[[int], Iterator[bytes]], clients: int) -> Tally:
    """Each client sends its requests one after the other; all start at the same moment."""
    tally, lock, start = Tally(), threading.Lock(), threading.Barrier(clients + 1)

    def client(number: int) -> None:
        connection, mine = BlockingConnection(port), Tally()
        start.wait()
        try:
            for one in requests(number):
                began = time.perf_counter()
                status, _ = connection.send(one)
                mine.seconds.append(time.perf_counter() - began)
                mine.statuses[status] = mine.statuses.get(status, 0) + 1
        finally:
            connection.close()
            with lock:
                tally.seconds += mine.seconds
                for status, count in mine.statuses.items():
                    tally.statuses[status] = tally.statuses.get(status, 0) + count

    threads = [threading.Thread(target=client, args=[number]) for number in range(clients)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    tally.elapsed = time.perf_counter() - began
    return tally
