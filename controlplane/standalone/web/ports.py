"""Whether the port is to be had."""

import errno
import socket

from controlplane.standalone.installation.errors import ExpectedError

HOST = "127.0.0.1"
DEFAULT_PORT = 8000


def port_check(port: int) -> None:
    """Raise a sentence when nobody can listen there now."""
    with socket.socket() as probe:
        # As the server does: connections of a server that has just ended are no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen()
        except OSError as error:
            raise ExpectedError(_sentence(port, error)) from error


def _sentence(port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is taken by another program: choose another with --port."
    if error.errno == errno.EACCES:
        return f"Port {port} is reserved for root: choose one above 1023 with --port."
    return f"Port {port} cannot be used ({error.strerror}): choose another with --port."
