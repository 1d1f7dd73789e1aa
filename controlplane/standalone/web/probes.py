"""Serves `/healthz`, `/readyz` and `/metrics` on a second listener with its own threads.

A monitor gets its answer also while all connections or threads of the web server are in use.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog

from controlplane.standalone.web.ports import HOST

PATHS: Final = frozenset({"/healthz", "/readyz", "/metrics"})
MOST_THREADS: Final = 16
# The longest time from the connection to the end of the answer.
SECONDS: Final = 10.0

Wsgi = Callable[..., Iterable[bytes]]
log = structlog.get_logger(__name__)


class _Handler(WSGIRequestHandler):
    def get_environ(self) -> dict[str, Any]:
        # ALLOWED_HOSTS need not list the name by which a monitor knows this machine.
        return {**super().get_environ(), "HTTP_HOST": "localhost"}

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name in the base class
        """The application has logged the request."""


class ProbeServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, port: int, wsgi: Wsgi, *, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._free = threading.BoundedSemaphore(MOST_THREADS)
        super().__init__((HOST, port), _Handler)
        self.set_app(_probes_alone(wsgi))

    def server_bind(self) -> None:
        # HTTPServer.server_bind would look up a name in DNS.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]
        self.setup_environ()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return self._free.acquire(blocking=False)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        def cut() -> None:
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(self.seconds, cut)
        timer.daemon = True
        timer.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            timer.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.info("probe_left", exc_info=True)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_port}"


def offer_probes(wsgi: Wsgi, *, port: int, address_file: Path) -> None:
    """Serve in a thread until this process ends, and write the URL to address_file. port: 0 for any free one."""
    try:
        server = ProbeServer(port, wsgi)
    except OSError as error:
        log.warning("no_probes", port=port, error=str(error))
        return
    threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()
    address_file.write_text(f"{server.url}\n")


def _probes_alone(wsgi: Wsgi) -> Wsgi:
    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] in PATHS:
            return wsgi(environ, start_response)
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"Here are /healthz, /readyz and /metrics.\n"]

    return application
