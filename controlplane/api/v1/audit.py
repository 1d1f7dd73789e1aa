from typing import Any

from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.endpoint import Call, Endpoint, answer, operation
from controlplane.api.fields import Choice, Text
from controlplane.api.pagination import Order, page
from controlplane.api.schema import page_shape
from controlplane.api.shapes import Out, PageQuery
from controlplane.api.v1.common import rfc3339
from tenants.access import allow
from tenants.models import AuditEvent, Outcome
from tenants.selectors import audit_events


class AuditQuery(PageQuery):
    verb = Text(most=100, default="")
    actor = Text(most=63, default="")
    outcome = Choice(list(Outcome.values), default="")


class AuditOut(Out):
    at = serializers.DateTimeField()
    actor = serializers.CharField()
    via = serializers.CharField()
    verb = serializers.CharField()
    target = serializers.CharField()
    outcome = Choice(list(Outcome.values))
    reason = serializers.CharField(allow_null=True)
    count = serializers.IntegerField(help_text="Equal refusals within a minute stand in one row.")
    detail = serializers.DictField()
    request_id = serializers.CharField(allow_blank=True)


def event_json(event: AuditEvent) -> dict[str, Any]:
    return {
        "at": rfc3339(event.at),
        "actor": event.actor_name,
        "via": event.via,
        "verb": event.verb,
        "target": event.target,
        "outcome": event.outcome,
        "reason": event.reason or None,
        "count": event.count,
        "detail": event.detail,
        "request_id": event.request_id,
    }


class Audit(Endpoint):
    @operation(
        "audit.list", "What was done and refused", {200: page_shape("Audit", AuditOut)}, query=AuditQuery
    )
    def get(self, call: Call, tenant: str) -> Response:
        """For admins of the tenant. Newest first."""
        access = call.enter(tenant)
        allow(access, "audit.read")
        columns = {"verb": "verb", "actor": "actor_name", "outcome": "outcome"}
        asked = {column: call.query[name] for name, column in columns.items() if call.query[name]}
        found = page(
            audit_events(access.tenant).filter(**asked),
            call.query,
            order=Order(),
            to_json=lambda rows: [event_json(row) for row in rows],
        )
        return answer(found)
