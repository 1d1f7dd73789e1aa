"""Runs a command in a pod over one WebSocket.

This is our own implementation because it must be bounded in time, thread-safe and sure of the exit code.
"""

import json
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlencode

import websocket

from controlplane.provisioners.base import NotYet, Permanent, SiteUnknown, Temporary
from controlplane.provisioners.kubernetes.client import parallel
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.connections import CONNECT_SECONDS, Access
from controlplane.provisioners.kubernetes.client.errors import Refusal, cut, unreachable
from controlplane.provisioners.kubernetes.objects import paths
from controlplane.provisioners.kubernetes.objects.body import Body
from controlplane.provisioners.kubernetes.objects.names import CONTAINER

# Only the newer one can say that standard input has ended.
NEWER, OLDER = "v5.channel.k8s.io", "v4.channel.k8s.io"
STDIN, STDOUT, STDERR, STATUS, CLOSE = 0, 1, 2, 3, 255
PIECE = 32 * 1024
MOST_STATUS = 64 * 1024


@dataclass(frozen=True, slots=True)
class ExecResult:
    """exit_code: as a shell reports it. stdout, stderr: the first `most_bytes` of each."""

    exit_code: int
    stdout: bytes
    stderr: bytes


def run(
    client: Client,
    namespace: str,
    pod: str,
    command: Sequence[str],
    *,
    seconds: float,
    stdin: bytes = b"",
    most_bytes: int = 64 * 1024,
) -> ExecResult:
    """Returns when the command has ended. The exit code comes from the API server and is never guessed.

    Raises Temporary: EXEC_SLOW when it takes longer than `seconds` (the command may continue), EXEC_FAILED when it
    could not be started, EXEC_LOST when the connection ended first, POD_GONE, and what every call raises.
    """
    until = parallel.deadline(seconds)
    query = [("container", CONTAINER), *(("command", part) for part in command)]
    query += [("stdout", "1"), ("stderr", "1"), *([("stdin", "1")] if stdin else [])]
    path = f"{paths.pod_exec(namespace, pod)}?{urlencode(query)}"
    try:
        talk = client.with_credentials(lambda access: _connect(access, path, until))
    except websocket.WebSocketBadStatusException as refused:
        raise _error(_refusal(refused)) from None
    except (OSError, websocket.WebSocketException) as error:
        raise unreachable(error) from error
    try:
        return _converse(talk, until, stdin, most_bytes)
    except (TimeoutError, websocket.WebSocketTimeoutException):
        raise SiteUnknown("EXEC_SLOW", f"the command did not end in {seconds:g} s") from None
    except (OSError, websocket.WebSocketException) as error:
        message = cut(f"the connection ended before the end of the command was reported: {error}")
        raise SiteUnknown("EXEC_LOST", message) from error
    finally:
        _hang_up(talk)


def _connect(access: Access, path: str, until: float) -> websocket.WebSocket:
    host = f"[{access.host}]" if ":" in access.host else access.host
    connected = access.connect(min(_left(until), CONNECT_SECONDS))
    # The library bounds each read of the handshake, but not how many reads there are.
    late = threading.Timer(_left(until), _cut_off, [connected])
    late.start()
    try:
        # With our own socket, no proxy of the environment can redirect the connection.
        return websocket.create_connection(
            f"ws://{host}:{access.port}{access.prefix}{path}",
            timeout=min(_left(until), CONNECT_SECONDS),
            socket=connected,
            header=[f"{name}: {value}" for name, value in access.headers().items()],
            subprotocols=[NEWER, OLDER],
            suppress_origin=True,
            skip_utf8_validation=True,
            http_no_proxy=["*"],
        )
    except websocket.WebSocketBadStatusException as refused:
        connected.close()
        if (refusal := _refusal(refused)).is_unauthenticated():
            raise refusal.error() from None
        raise
    except BaseException:
        connected.close()
        raise
    finally:
        late.cancel()


def _cut_off(connected: socket.socket) -> None:
    """Ends a read that waits in another thread."""
    with suppress(OSError):
        # SSLSocket.shutdown would drop the TLS state while the other thread reads.
        socket.socket.shutdown(connected, socket.SHUT_RDWR)


def _hang_up(talk: websocket.WebSocket) -> None:
    """Close without the closing handshake: a silent peer would delay it."""
    if talk.sock is not None:
        talk.sock.close()


@dataclass(slots=True)
class _Output:
    """What was received so far, by channel. most: channel -> bytes that are kept of it."""

    most: dict[int, int]
    outputs: dict[int, bytearray] = field(default_factory=dict)

    def take(self, message: bytes) -> None:
        channel, piece = message[0], message[1:]
        output = self.outputs.setdefault(channel, bytearray())
        output += piece[: max(0, self.most.get(channel, 0) - len(output))]

    def output(self, channel: int) -> bytes:
        return bytes(self.outputs.get(channel, b""))


def _converse(talk: websocket.WebSocket, until: float, stdin: bytes, most_bytes: int) -> ExecResult:
    """Send standard input, then read until the status channel reports the end of the command."""
    if stdin:
        _send(talk, stdin, until)
    output = _Output({STDOUT: most_bytes, STDERR: most_bytes, STATUS: MOST_STATUS})
    while STATUS not in output.outputs:
        talk.settimeout(_left(until))
        # Control frames too, so that a peer that only sends pings does not reset the timeout for ever.
        opcode, data = talk.recv_data(control_frame=True)
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            raise websocket.WebSocketConnectionClosedException("closed")
        if opcode == websocket.ABNF.OPCODE_BINARY and data:
            output.take(data)
    return ExecResult(_exit_code(output.output(STATUS)), output.output(STDOUT), output.output(STDERR))


def _send(talk: websocket.WebSocket, stdin: bytes, until: float) -> None:
    if talk.getsubprotocol() != NEWER:
        raise Permanent(
            "SITE_TOO_OLD", "this Kubernetes cannot end a command's standard input; it needs 1.30"
        )
    for start in range(0, len(stdin), PIECE):
        talk.settimeout(_left(until))
        talk.send_binary(bytes([STDIN]) + stdin[start : start + PIECE])
    talk.send_binary(bytes([CLOSE, STDIN]))


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("there was no time left")
    return left


def _exit_code(status: bytes) -> int:
    """status: the Status object of the status channel. Raises Temporary EXEC_FAILED."""
    said = status.decode("utf-8", "replace")
    try:
        found: Body = json.loads(said)
        if found["status"] == "Success":
            return 0
        if found["reason"] == "NonZeroExitCode":
            [code] = [
                cause["message"] for cause in found["details"]["causes"] if cause["reason"] == "ExitCode"
            ]
            return int(code)
        said = str(found["message"])
    except (ValueError, KeyError, TypeError):
        said = f"the API server reported its end in an unknown form: {said}"
    raise NotYet("EXEC_FAILED", cut(said))


def _refusal(refused: websocket.WebSocketBadStatusException) -> Refusal:
    return Refusal.read(refused.status_code, refused.resp_headers or {}, refused.resp_body or b"")


def _error(refusal: Refusal) -> Temporary | Permanent:
    if refusal.status == 404 and refusal.reason == "NotFound":
        return NotYet("POD_GONE", refusal.message)
    if refusal.status == 400 and refusal.said:
        # The pod is not ready for commands: it has no machine yet, or its container does not run.
        return NotYet("EXEC_FAILED", refusal.message)
    return refusal.error()
