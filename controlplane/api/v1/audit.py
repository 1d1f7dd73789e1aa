from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer
from rest_framework.response import Response

from controlplane.api.endpoint import ApiCall, Endpoint, answer, method
from controlplane.api.fields import Choice, Moment, Text
from controlplane.api.openapi import page_shape
from controlplane.api.pagination import Order, page
from controlplane.api.renderers import FastJSONRenderer
from controlplane.api.shapes import Out, PageQuery, Query
from controlplane.api.v1.common import rfc3339
from tenants.access import allow
from tenants.models import AuditEvent, Outcome
from tenants.selectors import audit_events, audit_events_everywhere

NDJSON: Final = "application/x-ndjson"
MOST_EXPORTED: Final = 10_000
# Query parameter -> lookup of the ORM.
_LOOKUPS: Final = {
    "verb": "verb",
    "actor": "actor_name",
    "target": "target",
    "outcome": "outcome",
    "tenant": "tenant_name",
    "since": "at__gte",
    "until": "at__lt",
}


class _Filters(Query):
    verb = Text(most=100, default="")
    actor = Text(most=63, default="")
    target = Text(most=200, default="", help_text="cluster/etl-1, user/bob")
    outcome = Choice(list(Outcome.values), required=False)
    since = Moment(required=False, help_text="From this time on.")
    until = Moment(required=False, help_text="Before this time.")


class _Everywhere(Query):
    tenant = Text(most=40, default="", help_text="Name of a tenant, also of one that was deleted.")


class AuditQuery(_Filters, PageQuery):
    pass


class SiteAuditQuery(AuditQuery, _Everywhere):
    pass


class ExportQuery(_Filters):
    after = serializers.UUIDField(required=False, help_text="Go on after this id; see the header Link.")


class SiteExportQuery(ExportQuery, _Everywhere):
    pass


class AuditOut(Out):
    id = serializers.UUIDField()
    at = serializers.DateTimeField()
    tenant = serializers.CharField(allow_null=True)
    actor = serializers.CharField()
    via = serializers.CharField()
    verb = serializers.CharField()
    target = serializers.CharField()
    outcome = Choice(list(Outcome.values))
    reason = serializers.CharField(allow_null=True)
    count = serializers.IntegerField(help_text="Equal refusals of one minute are one row.")
    detail = serializers.DictField()
    request_id = serializers.CharField(allow_blank=True)


def event_json(event: AuditEvent) -> dict[str, Any]:
    return {
        "id": str(event.id),
        "at": rfc3339(event.at),
        "tenant": event.tenant_name or None,
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
    @method("audit.list", "What was done and refused", {200: page_shape("Audit", AuditOut)}, query=AuditQuery)
    def get(self, call: ApiCall, tenant: str) -> Response:
        """For admins of the tenant. Newest first."""
        return _listed(call, _of_tenant(call, tenant))


class SiteAudit(Endpoint):
    @method(
        "audit.list_all",
        "What was done and refused in all tenants and above them",
        {200: page_shape("Audit", AuditOut)},
        query=SiteAuditQuery,
    )
    def get(self, call: ApiCall) -> Response:
        """For site admins: also users, sign-ins, sites and the catalogue. Newest first."""
        return _listed(call, audit_events_everywhere(call.actor))


class Ndjson(BaseRenderer):
    media_type = NDJSON
    format = "ndjson"


class _Export(Endpoint):
    renderer_classes = [Ndjson]


class AuditExport(_Export):
    @method("audit.export", "Export the audit of a tenant", {200: {"type": "string"}}, query=ExportQuery)
    def get(self, call: ApiCall, tenant: str) -> HttpResponse:
        """One JSON object per line, oldest first, at most 10,000. The header Link has the address of the next part. For
        admins of the tenant.
        """
        return _exported(call, _of_tenant(call, tenant))


class SiteAuditExport(_Export):
    @method("audit.export_all", "Export the whole audit", {200: {"type": "string"}}, query=SiteExportQuery)
    def get(self, call: ApiCall) -> HttpResponse:
        """As the export of one tenant. For site admins."""
        return _exported(call, audit_events_everywhere(call.actor))


def _of_tenant(call: ApiCall, tenant: str) -> QuerySet[AuditEvent]:
    access = call.enter(tenant)
    allow(access, "audit.read")
    return audit_events(access.tenant)


def _filtered(events: QuerySet[AuditEvent], query: Mapping[str, Any]) -> QuerySet[AuditEvent]:
    lookups = {lookup: query[name] for name, lookup in _LOOKUPS.items() if query.get(name)}
    return events.filter(**lookups)


def _listed(call: ApiCall, events: QuerySet[AuditEvent]) -> Response:
    found = page(
        _filtered(events, call.query),
        call.query,
        order=Order(),
        to_json=lambda rows: [event_json(row) for row in rows],
    )
    return answer(found)


def _exported(call: ApiCall, events: QuerySet[AuditEvent]) -> HttpResponse:
    found = _filtered(events, call.query).order_by("id")
    if after := call.query.get("after"):
        found = found.filter(id__gt=after)
    rows = list(found[: MOST_EXPORTED + 1])
    shown, render = rows[:MOST_EXPORTED], FastJSONRenderer().render
    response = HttpResponse(b"".join(render(event_json(row)) + b"\n" for row in shown), content_type=NDJSON)
    if len(rows) > len(shown):
        query = call.request.query_params.dict() | {"after": str(shown[-1].id)}
        response["Link"] = f'<{call.request.path}?{urlencode(query)}>; rel="next"'
    return response
