"""What a node wrote, as text: the end of it, or from now on."""

import time
from collections.abc import Iterator
from threading import Event
from typing import Any, Final

from django.db import connection
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from rest_framework.renderers import BaseRenderer

from controlplane.api.endpoint import Call, Endpoint, operation
from controlplane.api.fields import Flag, Whole
from controlplane.api.following import gone_of, is_full
from controlplane.api.shapes import Query
from controlplane.clusters.access import cluster_for, read_logs
from controlplane.reconciler import logs
from tenants.errors import TooBusy

LONGEST_SECONDS: Final = 3600

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

    @operation("node.logs", "What a node wrote", {200: {"type": "string"}}, query=LogQuery)
    def get(self, call: Call, tenant: str, cluster: str, node: str) -> HttpResponseBase:
        """The end of it; of a node that is gone what was kept, for seven days."""
        access = call.enter(tenant)
        found = cluster_for(access, cluster)
        read_logs(access, found)
        written = logs.tail(found, node, call.query["tail"])
        if not call.query["follow"]:
            return HttpResponse(written, content_type=_TEXT)
        if is_full(call.request._request):
            raise TooBusy("Too many read along with logs at the moment.")
        pieces = _following(written, logs.follow(found, node), gone_of(call.request._request))
        return StreamingHttpResponse(pieces, content_type=_TEXT)


def _following(written: bytes, more: Iterator[bytes], gone: Event) -> Iterator[bytes]:
    # Whoever reads along for hours holds no connection to the database.
    connection.close()
    until = time.monotonic() + LONGEST_SECONDS
    yield written
    for piece in more:
        if gone.is_set() or time.monotonic() > until:
            return
        if piece:
            yield piece
