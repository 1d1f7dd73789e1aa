"""The document of a cluster: its shape in OpenAPI, and the functions that build it.

Most fields come from `ClusterRow`; here are those whose shape says more than their type.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rest_framework import serializers

from controlplane.api.fields import NAME_SCHEMA, Choice, Tree
from controlplane.api.shapes import Out
from controlplane.api.v1.common import AmountsOut, reason_of, rfc3339, rfc3339_of
from controlplane.clusters.access import opens_pages
from controlplane.clusters.endpoints import endpoints
from controlplane.clusters.models import Cluster
from controlplane.clusters.models.operation import State
from controlplane.clusters.outlines import Outline, outline_of, outlines_of
from controlplane.clusters.phases import Verb
from controlplane.clusters.queries.reads import ReadyNodes, ready_nodes
from controlplane.clusters.read_model import FIELDS, ClusterRow, LastOperation, RowField, row_of
from tenants.access import Access

_URL = {"type": ["string", "null"], "format": "uri"}
_SERVICE = {
    "type": "object",
    "required": ["name", "group"],
    "properties": {
        "name": {"type": "string"},
        "group": {"type": "string"},
        "url": _URL | {"description": "Of a page; null where it cannot be opened, or not by the asker."},
        "dashboard": {"type": "boolean", "description": "Of a page: made for people."},
        "idle": {
            "type": "boolean",
            "description": "Of a page: it runs only at times, such as a Spark session's, and not now.",
        },
        "address": {"type": ["string", "null"], "description": "host:port of what is not a page."},
    },
    "oneOf": [{"required": ["url", "dashboard", "idle"]}, {"required": ["address"]}],
}


class TemplateRefOut(Out):
    name = serializers.CharField()
    revision = serializers.IntegerField()


class ClusterAppOut(Out):
    name = serializers.CharField()
    version = serializers.CharField()


class RequestedOut(Out):
    groups = Tree(schema={"type": "object"})
    parameters = Tree(schema={"type": "object"})
    preset = serializers.CharField(allow_null=True)


class GroupOut(Out):
    name = serializers.CharField()
    role = serializers.CharField()
    wanted = serializers.IntegerField()
    ready = serializers.IntegerField()
    cpu = serializers.CharField()
    memory = serializers.CharField()
    gpu = serializers.IntegerField()
    storage = serializers.CharField()


class ConditionOut(Out):
    type = serializers.CharField()
    status = serializers.BooleanField()
    reason = serializers.CharField(allow_blank=True)
    message = serializers.CharField(allow_blank=True)
    at = serializers.DateTimeField()


class LiveOperationOut(Out):
    id = serializers.UUIDField()
    kind = Choice([str(verb) for verb in Verb])
    state = Choice(list(State.values))
    created_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    deadline = serializers.DateTimeField(allow_null=True)
    error = Tree(
        schema={
            "type": ["object", "null"],
            "properties": {"reason": {"type": "string"}, "message": {"type": "string"}},
        }
    )


class _ComposedOut(Out):
    """The fields that ClusterRow does not have, or has in another shape."""

    id = serializers.UUIDField()
    name = Tree(schema=NAME_SCHEMA)
    tenant = serializers.CharField()
    template = TemplateRefOut()
    app = ClusterAppOut()
    preset = serializers.CharField(allow_null=True)
    parameters = Tree(schema={"type": "object"}, help_text="All parameters, with their defaults.")
    requested = RequestedOut(
        help_text="What was requested; the template, its preset and defaults give the rest."
    )
    groups = GroupOut(many=True)
    services = Tree(list, schema={"type": "array", "items": _SERVICE})
    conditions = ConditionOut(many=True)
    takes = AmountsOut(help_text="What it holds while it runs.")
    operation = LiveOperationOut(allow_null=True, help_text="The one under way, or the last.")


_SERIALIZERS: Final[Mapping[type, Callable[..., Any]]] = {
    str: serializers.CharField,
    int: serializers.IntegerField,
    bool: serializers.BooleanField,
    datetime: serializers.DateTimeField,
    dict: lambda **more: Tree(schema={"type": "object"}, **more),
    list: lambda **more: Tree(list, schema={"type": "array"}, **more),
}


def _serializer(field: RowField) -> Any:
    more: dict[str, Any] = {"help_text": field.shown.help} if field.shown.help else {}
    if field.nullable or field.shown.empty_is_null:
        more["allow_null"] = True
    if field.shown.choices:
        return Choice([str(choice) for choice in field.shown.choices], **more)
    return _SERIALIZERS[field.type](**more)


# Those of ClusterRow that the document has as they are.
_PLAIN: Final = [field for field in FIELDS if field.shown.api]
_TIMES: Final = [field.name for field in _PLAIN if field.type is datetime]
_NULL_IF_EMPTY: Final = [field.name for field in _PLAIN if field.shown.empty_is_null]

ClusterOut: type[Out] = type(
    "ClusterOut",
    (_ComposedOut,),
    {
        "__doc__": Out.__doc__,
        **{field.name: _serializer(field) for field in _PLAIN if field.name not in _ComposedOut().fields},
    },
)


def cluster_json(access: Access, cluster: Cluster) -> dict[str, Any]:
    """The document of a cluster that was read by itself, or has just been written."""
    return _documents(access, [row_of(access, cluster)], {str(cluster.pk): outline_of(cluster)})[0]


def clusters_json(access: Access, rows: Sequence[ClusterRow]) -> list[dict[str, Any]]:
    """The documents of a page. Takes three queries at most, however many rows there are."""
    return _documents(access, rows, outlines_of(rows))


def _documents(
    access: Access, rows: Sequence[ClusterRow], outlines: Mapping[str, Outline]
) -> list[dict[str, Any]]:
    # A cluster that never started has no node.
    ready = ready_nodes(row.id for row in rows if row.run)
    # Without a ready node there is no link.
    opens = any(row.mine for row in rows) and bool(ready) and opens_pages(access)
    return [
        _document(access.tenant.name, row, outlines[row.id], ready.get(row.id, {}), opens and row.mine)
        for row in rows
    ]


def _document(
    tenant: str, row: ClusterRow, outline: Outline, ready: Mapping[str, ReadyNodes], may_open: bool
) -> dict[str, Any]:
    document = {field.name: getattr(row, field.name) for field in _PLAIN}
    for name in _TIMES:
        document[name] = rfc3339(document[name])
    for name in _NULL_IF_EMPTY:
        document[name] = document[name] or None
    counts = {name: nodes.count for name, nodes in ready.items()}
    return document | {
        "tenant": tenant,
        "template": row.template._asdict(),
        "app": {"name": outline.launch.app.name, "version": outline.launch.app.version},
        "preset": outline.requested["preset"],
        "parameters": dict(outline.launch.settings),
        "requested": outline.requested,
        "groups": [{**group, "ready": counts.get(group["name"], 0)} for group in outline.groups],
        "services": endpoints(row, outline.launch, ready, open_pages=may_open),
        "conditions": [{**one, "at": rfc3339_of(one["at"])} for one in row.conditions],
        "takes": outline.takes,
        "operation": row.last_operation and _operation(row.last_operation),
    }


def without_pages(document: dict[str, Any]) -> dict[str, Any]:
    """The document as it may be stored. The links to pages carry keys, which are stored nowhere."""
    if "services" not in document:
        return document
    services = [{**one, "url": None} if "url" in one else one for one in document["services"]]
    return {**document, "services": services}


def _operation(last: LastOperation) -> dict[str, Any]:
    return {
        "id": last.id,
        "kind": last.kind,
        "state": last.state,
        "created_at": rfc3339(last.created_at),
        "ended_at": rfc3339(last.ended_at),
        "deadline": rfc3339(last.deadline),
        "error": reason_of(last.reason, last.message),
    }
