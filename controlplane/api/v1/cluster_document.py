"""A cluster as clients see it: its shape, and the function that builds it from rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from rest_framework import serializers

from controlplane.api.fields import NAME_SCHEMA, Choice, Tree
from controlplane.api.shapes import Out
from controlplane.api.v1.common import AmountsOut, reason_of, rfc3339, rfc3339_of
from controlplane.api.v1.outline import Outline, outlines_of
from controlplane.clusters.access import opens_pages
from controlplane.clusters.endpoints import endpoints
from controlplane.clusters.listing import LastOperation, ListedCluster, as_listed
from controlplane.clusters.models import Cluster
from controlplane.clusters.models.operation import State
from controlplane.clusters.phases import Goal, Phase, Verb
from controlplane.clusters.selectors import ReadyNodes, ready_nodes
from templates.selectors import revision_name
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
            "description": "Of a page: it is there only at times, such as a Spark session's, and not now.",
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


class ClusterOut(Out):
    id = serializers.UUIDField()
    name = Tree(schema=NAME_SCHEMA)
    tenant = serializers.CharField()
    owner = serializers.CharField()
    site = serializers.CharField()
    template = TemplateRefOut()
    app = ClusterAppOut()
    preset = serializers.CharField(allow_null=True)
    parameters = Tree(schema={"type": "object"}, help_text="All of them, as they hold.")
    requested = RequestedOut(
        help_text="What was asked for; the template, its preset and defaults do the rest."
    )
    goal = Choice([str(goal) for goal in Goal])
    phase = Choice([str(phase) for phase in Phase])
    generation = serializers.IntegerField(help_text="Grows with every change that was asked for; the ETag.")
    observed_generation = serializers.IntegerField(
        help_text="The last generation that was reached or given up."
    )
    reason = serializers.CharField(allow_null=True)
    message = serializers.CharField(allow_null=True)
    groups = GroupOut(many=True)
    services = Tree(list, schema={"type": "array", "items": _SERVICE})
    conditions = ConditionOut(many=True)
    takes = AmountsOut(help_text="What it holds while it runs.")
    created_at = serializers.DateTimeField()
    ready_at = serializers.DateTimeField(allow_null=True)
    deleted_at = serializers.DateTimeField(allow_null=True)
    operation = LiveOperationOut(allow_null=True, help_text="The one under way, or the last.")


def clusters_json(
    access: Access, clusters: Sequence[Cluster] | Sequence[ListedCluster]
) -> list[dict[str, Any]]:
    """Documents of clusters. Of listed ones with one query at most, however many there are."""
    # Where nothing was ever started there is no node.
    ready, outlines = ready_nodes([row for row in clusters if row.run]), outlines_of(clusters)
    rows = {row.pk: row if isinstance(row, ListedCluster) else as_listed(access, row) for row in clusters}
    # Where no node is ready there is no link.
    opens = any(row.mine for row in rows.values()) and bool(ready) and opens_pages(access)
    return [
        _document(access.tenant.name, row, outlines[pk], ready.get(pk, {}), opens and row.mine)
        for pk, row in rows.items()
    ]


def _document(
    tenant: str, row: ListedCluster, outline: Outline, ready: Mapping[str, ReadyNodes], may_open: bool
) -> dict[str, Any]:
    template, number = revision_name(row.template_revision_id)
    return {
        "id": row.id,
        "name": row.name,
        "tenant": tenant,
        "owner": row.owner_name,
        "site": row.site.name,
        "template": {"name": template, "revision": number},
        "app": {"name": outline.launch.app.name, "version": outline.launch.app.version},
        "preset": outline.requested["preset"],
        "parameters": dict(outline.launch.settings),
        "requested": outline.requested,
        "goal": row.goal,
        "phase": row.phase,
        "generation": row.generation,
        "observed_generation": row.observed_generation,
        "reason": row.reason or None,
        "message": row.message or None,
        "groups": _groups(outline, ready),
        "services": endpoints(row, outline.launch, ready, open_pages=may_open),
        "conditions": [{**one, "at": rfc3339_of(one["at"])} for one in row.conditions],
        "takes": outline.takes,
        "created_at": rfc3339(row.created_at),
        "ready_at": rfc3339(row.ready_at),
        "deleted_at": rfc3339(row.deleted_at),
        "operation": None if row.last_operation is None else _operation(row.last_operation),
    }


def without_pages(document: dict[str, Any]) -> dict[str, Any]:
    """The document as it may be stored: the links to pages carry keys, which are stored nowhere."""
    if "services" not in document:
        return document
    services = [{**one, "url": None} if "url" in one else one for one in document["services"]]
    return {**document, "services": services}


def _groups(outline: Outline, ready: Mapping[str, ReadyNodes]) -> list[dict[str, Any]]:
    counts = {name: nodes.count for name, nodes in ready.items()}
    return [{**group, "ready": counts.get(group["name"], 0)} for group in outline.groups]


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
