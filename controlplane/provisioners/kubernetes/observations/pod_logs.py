"""Reads the log of a node: of its container, and of the container before a restart when the log is short."""

import time
from collections.abc import Iterator
from contextlib import closing

from controlplane.provisioners.base import Permanent, Temporary
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.objects import paths
from controlplane.provisioners.kubernetes.objects.names import CONTAINER
from controlplane.provisioners.kubernetes.observations.heartbeat import with_heartbeat

TICK_SECONDS = 0.5
# The API limits a log by lines and not by bytes. Few logs have a shorter average line, in bytes.
SHORT_LINE = 64
# Messages of 400 answers that only mean that there is no log.
_NO_LOG = (
    "is waiting to start",
    "trying and failing to pull image",
    "previous terminated container",
    "is not available",
    "does not have a host assigned",
)

# Messages that the kubelet sends as the only line of a log that was deleted with its container.
_LOST = (b"unable to retrieve container logs for ", b"failed to try resolving symlinks in path ")


def tail(client: Client, namespace: str, pod: str, *, tail_bytes: int) -> bytes:
    """The last bytes, also from before a restart of the container. b"" when nothing was written. Raises Temporary."""
    newest = _tail(client, namespace, pod, tail_bytes)
    missing = tail_bytes - len(newest)
    older = _tail(client, namespace, pod, missing, previous="1") if missing > 0 else b""
    return older + newest


def follow(client: Client, namespace: str, pod: str) -> Iterator[bytes]:
    """What is written from now on, until the container ends. b"" at least once a second."""
    path = paths.pod_log(namespace, pod)
    query = {"container": CONTAINER, "follow": "1", "tailLines": "0"}
    while True:
        try:
            with closing(with_heartbeat(client.stream(path, **query), lambda: TICK_SECONDS)) as pieces:
                yield from (piece or b"" for piece in pieces)
        except (Permanent, Temporary) as error:
            if error.reason == "SITE_LACKS":
                return
            if not _says_no_log(error):
                raise
        else:
            return
        yield b""
        time.sleep(TICK_SECONDS)
        # The container has not started yet, so its log is new from the first line on.
        query.pop("tailLines", None)


def _tail(client: Client, namespace: str, pod: str, size: int, **query: str) -> bytes:
    lines = size // SHORT_LINE + 1
    text = _text(client, namespace, pod, lines, **query)
    if len(text) < size and text.count(b"\n") >= lines:
        # A line has at least one byte, so this many lines are enough.
        text = _text(client, namespace, pod, size, **query)
    return text[-size:]


def _text(client: Client, namespace: str, pod: str, lines: int, **query: str) -> bytes:
    path = paths.pod_log(namespace, pod)
    try:
        text = client.text(path, container=CONTAINER, tailLines=str(lines), **query)
    except Permanent as error:
        if _says_no_log(error):
            return b""
        raise
    return b"" if text.startswith(_LOST) and b"\n" not in text else text


def _says_no_log(error: Permanent | Temporary) -> bool:
    if error.reason == "NOTHING_YET":
        return True
    return error.reason == "SITE_REJECTS" and any(words in error.message for words in _NO_LOG)
