"""The address and port of the web server."""

import errno
import socket

from controlplane.standalone.installation.errors import ExpectedError

HOST = "127.0.0.1"
DEFAULT_PORT = 8000


def port_check(port: int) -> None:
    """Raise ExpectedError when this process cannot listen on the port."""
    with socket.socket() as probe:
        # As the server does. Otherwise connections of a server that has just ended would block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen()
        except OSError as error:
            if error.errno == errno.EACCES:
                sentence = f"Port {port} is reserved for root: choose one above 1023 with --port."
            elif error.errno == errno.EADDRINUSE:
                sentence = f"Port {port} is taken by another program: choose another with --port."
            else:
                sentence = f"Cannot use port {port} ({error.strerror}): choose another with --port."
            raise ExpectedError(sentence) from error
