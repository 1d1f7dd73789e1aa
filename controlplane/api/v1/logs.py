"""The log of a node as text: its end, or what the node writes from now on."""

import time
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Event
from typing import Any, Final

import structlog
from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from controlplane.api.authentication import BearerAuthentication, actor_of
from controlplane.api.endpoint import ApiCall, Endpoint, method
from controlplane.api.fields import Flag, Whole
from controlplane.api.following import reader_of
from controlplane.api.shapes import Query
from controlplane.clusters.access import cluster_for, read_logs
from controlplane.clusters.models import Cluster
from controlplane.inspection import logs
from tenants.errors import Refused

log = structlog.get_logger(__name__)

LONGEST_SECONDS: Final = 3600
# A reader who has lost the right reads on for this long at most.
CHECK_SECONDS: Final = 3.0

_TEXT: Final = "text/plain; charset=utf-8"


class LogQuery(Query):
    tail = Whole(least=1, most=10_000, digits=True, default=200, help_text="Lines.")
    follow = Flag(words=True, default=False, help_text="Go on with what the node writes, until it ends.")


class PlainText(BaseRenderer):
    media_type = "text/plain"
    format = "txt"
    charset = "utf-8"

    def render(self, data: Any, media_type: str | None = None, context: Any = None) -> Any:
        return data


class Logs(Endpoint):
    renderer_classes = [PlainText]

    @method("node.logs", "What a node wrote", {200: {"type": "string"}}, query=LogQuery)
    def get(self, call: ApiCall, tenant: str, cluster: str, node: str) -> HttpResponseBase:
        """Its last lines. Of a node that is gone they are kept for seven days."""
        found = _readable(call, tenant, cluster)
        if not call.query["follow"]:
            written = logs.tail(found, node, call.query["tail"])
            return HttpResponse(written.decode(errors="replace"), content_type=_TEXT)
        reader = reader_of(call.request._request)
        reader.admit(call.actor.user_id)
        written = logs.tail(found, node, call.query["tail"])

        def may_read() -> bool:
            authenticated = Request(call.request._request)
            BearerAuthentication().authenticate(authenticated)
            return _readable(replace(call, actor=actor_of(authenticated)), tenant, cluster).pk == found.pk

        pieces = _following(written, logs.follow(found, node), reader.gone, may_read)
        return StreamingHttpResponse(pieces, content_type=_TEXT)


def _readable(call: ApiCall, tenant: str, cluster: str) -> Cluster:
    access = call.enter(tenant)
    found = cluster_for(access, cluster)
    read_logs(access, found)
    return found


def _following(
    written: bytes, more: Iterator[bytes], gone: Event, may_read: Callable[[], bool]
) -> Iterator[bytes]:
    # A request that lasts for hours must not hold a connection to the database.
    connection.close()
    now = time.monotonic()
    until, look = now + LONGEST_SECONDS, now + CHECK_SECONDS
    # A character may come in two pieces. Bytes that are not UTF-8 are replaced.
    text = getincrementaldecoder("utf-8")("replace")
    yield text.decode(written).encode()
    for piece in more:
        now = time.monotonic()
        if gone.is_set() or now > until:
            return
        if now > look:
            if not _still(may_read):
                return
            look = time.monotonic() + CHECK_SECONDS
        if piece:
            yield text.decode(piece).encode()


def _still(may_read: Callable[[], bool]) -> bool:
    """Whether the reader still has the right. False while that cannot be looked up."""
    try:
        return may_read()
    except (Refused, AuthenticationFailed):
        return False
    except (DatabaseError, InterfaceError) as error:
        log.warning("follower_not_checked", error=str(error).strip()[:200])
        return False
    finally:
        connection.close()
