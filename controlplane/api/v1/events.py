from typing import Any

from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.endpoint import ApiCall, Endpoint, answer, method
from controlplane.api.openapi import page_shape
from controlplane.api.pagination import Order, page
from controlplane.api.shapes import Out, PageQuery
from controlplane.api.v1.common import rfc3339
from controlplane.clusters.access import cluster_for
from controlplane.clusters.models import Event
from controlplane.clusters.selectors import events_of


class EventOut(Out):
    at = serializers.DateTimeField()
    kind = serializers.CharField()
    node = serializers.CharField(allow_null=True)
    message = serializers.CharField(allow_blank=True)


def event_json(event: Event) -> dict[str, Any]:
    return {
        "at": rfc3339(event.at),
        "kind": event.kind,
        "node": event.node or None,
        "message": event.message,
    }


class ClusterEvents(Endpoint):
    @method("event.list", "What happened to a cluster", {200: page_shape("Event", EventOut)}, query=PageQuery)
    def get(self, call: ApiCall, tenant: str, cluster: str) -> Response:
        """Newest first."""
        found = cluster_for(call.enter(tenant), cluster)
        listed = page(
            events_of(found),
            call.query,
            order=Order("id", int),
            to_json=lambda rows: [event_json(row) for row in rows],
        )
        return answer(listed)
