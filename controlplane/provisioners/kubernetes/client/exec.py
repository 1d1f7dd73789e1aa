"""Running a command in a pod and hearing how it ended, over one WebSocket.

Written here because it must be bounded, usable from any thread and sure of the exit code.
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
class Ran:
    """exit_code: as its shell would say it. Of each output the first `most_bytes` are kept."""

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
) -> Ran:
    """Returns once the command has ended; its exit code was told, never guessed.

    Raises Temporary: EXEC_SLOW when it takes longer (it may go on), EXEC_FAILED when it could not be started,
    EXEC_LOST when its end was not told, POD_GONE, and what every call raises.
    """
    until = parallel.until(seconds)
    query = [("container", CONTAINER), *(("command", part) for part in command)]
    query += [("stdout", "1"), ("stderr", "1"), *([("stdin", "1")] if stdin else [])]
    path = f"{paths.pod_exec(namespace, pod)}?{urlencode(query)}"
    try:
        talk = client.known(lambda access: _connect(access, path, until))
    except websocket.WebSocketBadStatusException as refused:
        raise _why(_refusal(refused)) from None
    except (OSError, websocket.WebSocketException) as error:
        raise unreachable(error) from error
    try:
        return _hear(talk, until, stdin, most_bytes)
    except (TimeoutError, websocket.WebSocketTimeoutException):
        raise SiteUnknown("EXEC_SLOW", f"no end was told within {seconds:g} s") from None
    except (OSError, websocket.WebSocketException) as error:
        why = cut(f"the connection ended before the command's end was told: {error}")
        raise SiteUnknown("EXEC_LOST", why) from error
    finally:
        _hang_up(talk)


def _connect(access: Access, path: str, until: float) -> websocket.WebSocket:
    host = f"[{access.host}]" if ":" in access.host else access.host
    connected = access.connect(min(_left(until), CONNECT_SECONDS))
    # Each piece of the handshake has its time, and there is no bound to how many there are.
    late = threading.Timer(_left(until), _cut_off, [connected])
    late.start()
    try:
        # A socket of ours: nothing of the environment, no proxy above all, has a say in where this goes.
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
    """Whoever reads from it in another thread reads no more."""
    with suppress(OSError):
        # Not the TLS socket's own: that one takes itself apart while the other thread reads.
        socket.socket.shutdown(connected, socket.SHUT_RDWR)


def _hang_up(talk: websocket.WebSocket) -> None:
    """Without the goodbye that a silent peer would be waited for."""
    if talk.sock is not None:
        talk.sock.close()


@dataclass(slots=True)
class _Heard:
    """What came so far, channel by channel, none longer than its bound."""

    most: dict[int, int]
    outputs: dict[int, bytearray] = field(default_factory=dict)

    def take(self, message: bytes) -> None:
        channel, piece = message[0], message[1:]
        output = self.outputs.setdefault(channel, bytearray())
        output += piece[: max(0, self.most.get(channel, 0) - len(output))]

    def output(self, channel: int) -> bytes:
        return bytes(self.outputs.get(channel, b""))


def _hear(talk: websocket.WebSocket, until: float, stdin: bytes, most_bytes: int) -> Ran:
    if stdin:
        _say(talk, stdin, until)
    heard = _Heard({STDOUT: most_bytes, STDERR: most_bytes, STATUS: MOST_STATUS})
    while STATUS not in heard.outputs:
        talk.settimeout(_left(until))
        # Pings as well: a peer that only pings would be listened to for ever.
        opcode, data = talk.recv_data(control_frame=True)
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            raise websocket.WebSocketConnectionClosedException("closed")
        if opcode == websocket.ABNF.OPCODE_BINARY and data:
            heard.take(data)
    return Ran(_exit_code(heard.output(STATUS)), heard.output(STDOUT), heard.output(STDERR))


def _say(talk: websocket.WebSocket, stdin: bytes, until: float) -> None:
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
    """From the status channel: one Status object, the last thing that comes. Raises Temporary EXEC_FAILED."""
    said = status.decode("utf-8", "replace")
    try:
        told: Body = json.loads(said)
        if told["status"] == "Success":
            return 0
        if told["reason"] == "NonZeroExitCode":
            [code] = [
                cause["message"] for cause in told["details"]["causes"] if cause["reason"] == "ExitCode"
            ]
            return int(code)
        said = str(told["message"])
    except (ValueError, KeyError, TypeError):
        said = f"its end was told in words that we do not know: {said}"
    raise NotYet("EXEC_FAILED", cut(said))


def _refusal(refused: websocket.WebSocketBadStatusException) -> Refusal:
    return Refusal.read(refused.status_code, refused.resp_headers or {}, refused.resp_body or b"")


def _why(refusal: Refusal) -> Temporary | Permanent:
    if refusal.status == 404 and refusal.reason == "NotFound":
        return NotYet("POD_GONE", refusal.message)
    if refusal.status == 400 and refusal.said:
        # Not what was asked, but the state of the pod: it has no machine yet, or its container does not run.
        return NotYet("EXEC_FAILED", refusal.message)
    return refusal.error()
