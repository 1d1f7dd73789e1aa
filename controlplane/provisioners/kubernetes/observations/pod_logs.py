"""What a node wrote: the log of its pod's container, and of the one before it where that is short."""

import time
from collections.abc import Iterator
from contextlib import closing

from controlplane.provisioners.base import Permanent, Temporary
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.objects import paths
from controlplane.provisioners.kubernetes.objects.names import CONTAINER
from controlplane.provisioners.kubernetes.observations.heartbeat import heard

TICK_SECONDS = 0.5
# The API counts lines, not bytes; few logs have shorter ones on the whole.
SHORT_LINE = 64
# What the API calls a bad request while there is simply no log.
_NO_LOG = (
    "is waiting to start",
    "trying and failing to pull image",
    "previous terminated container",
    "is not available",
    "does not have a host assigned",
)

# The kubelet's words, all on one line, in place of a log that went with its container.
_LOST = (b"unable to retrieve container logs for ", b"failed to try resolving symlinks in path ")


def tail(client: Client, namespace: str, pod: str, *, tail_bytes: int) -> bytes:
    """The last bytes, across a restart of the container; b"" where nothing was written. Raises Temporary."""
    newest = _tail(client, namespace, pod, tail_bytes)
    missing = tail_bytes - len(newest)
    older = _tail(client, namespace, pod, missing, previous="1") if missing > 0 else b""
    return older + newest


def follow(client: Client, namespace: str, pod: str) -> Iterator[bytes]:
    """What is written from now on until the container ends; b"" at least once a second."""
    path = paths.pod_log(namespace, pod)
    query = {"container": CONTAINER, "follow": "1", "tailLines": "0"}
    while True:
        try:
            with closing(heard(client.stream(path, **query), lambda: TICK_SECONDS)) as pieces:
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
        # It has not begun to write: from its first line on, all is news.
        query.pop("tailLines", None)


def _tail(client: Client, namespace: str, pod: str, size: int, **query: str) -> bytes:
    lines = size // SHORT_LINE + 1
    text = _text(client, namespace, pod, lines, **query)
    if len(text) < size and text.count(b"\n") >= lines:
        # No line is shorter than its end.
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
