"""A cluster as clients see it: its shape, and the function that builds it from rows."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import F, QuerySet, prefetch_related_objects
from rest_framework import serializers

from controlplane.api.fields import NAME_SCHEMA, Choice, Tree
from controlplane.api.shapes import Out
from controlplane.api.v1.common import AmountsOut, reason_of, rfc3339
from controlplane.api.v1.outline import Outline, outlines_of
from controlplane.clusters.access import clusters_of, may_open_pages
from controlplane.clusters.endpoints import endpoints
from controlplane.clusters.models import Cluster, Operation
from controlplane.clusters.models.operation import State
from controlplane.clusters.phases import Goal, Phase, Verb
from controlplane.clusters.selectors import ReadyNodes, ready_nodes
from tenants.access import Access

_NAMES: Final = {
    "owner_name": "owner__username",
    "template_name": "template_revision__template__name",
    "template_number": "template_revision__number",
}
_OPERATION: Final = ("pk", "kind", "state", "created_at", "ended_at", "deadline", "reason", "message")
_URL = {"type": ["string", "null"], "format": "uri"}
_SERVICE = {
    "type": "object",
    "required": ["name", "group"],
    "properties": {
        "name": {"type": "string"},
        "group": {"type": "string"},
        "url": _URL | {"description": "Of a page; null where it cannot be opened, or not by the asker."},
        "dashboard": {"type": "boolean", "description": "Of a page: made for people."},
        "address": {"type": ["string", "null"], "description": "host:port of what is not a page."},
    },
    "oneOf": [{"required": ["url", "dashboard"]}, {"required": ["address"]}],
}


class TemplateRefOut(Out):
    name = serializers.CharField()
    revision = serializers.IntegerField()


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


def listed(access: Access) -> QuerySet[Cluster]:
    """The clusters of the tenant as a list needs them: one narrow row each, names joined on, nothing large."""
    names = {name: F(path) for name, path in _NAMES.items()}
    return clusters_of(access).defer("effective", "requested").annotate(**names)


def clusters_json(access: Access, clusters: Iterable[Cluster]) -> list[dict[str, Any]]:
    """Documents of clusters, `listed` or read otherwise. At most five queries, however many there are."""
    rows = list(clusters)
    prefetch_related_objects(rows, "site")
    ready, outlines, last = ready_nodes(rows), outlines_of(rows), _last_operations(rows)
    return [
        cluster_json(access, row, outlines[row.pk], ready.get(row.pk, {}), last.get(row.pk)) for row in rows
    ]


def cluster_json(
    access: Access,
    cluster: Cluster,
    outline: Outline,
    ready: Mapping[str, ReadyNodes],
    operation: dict[str, Any] | None,
) -> dict[str, Any]:
    names = _names(cluster)
    return {
        "id": str(cluster.pk),
        "name": cluster.name,
        "tenant": access.tenant.name,
        "owner": names["owner_name"],
        "site": cluster.site.name,
        "template": {"name": names["template_name"], "revision": names["template_number"]},
        "goal": cluster.goal,
        "phase": cluster.phase,
        "generation": cluster.generation,
        "observed_generation": cluster.observed_generation,
        "reason": cluster.reason or None,
        "message": cluster.message or None,
        "groups": _groups(outline, ready),
        "services": endpoints(cluster, outline.launch, ready, open_pages=may_open_pages(access, cluster)),
        "conditions": cluster.conditions,
        "takes": outline.takes,
        "created_at": rfc3339(cluster.created_at),
        "ready_at": rfc3339(cluster.ready_at),
        "deleted_at": rfc3339(cluster.deleted_at),
        "operation": operation,
    }


def without_pages(document: dict[str, Any]) -> dict[str, Any]:
    """The document as it may be stored: the links to pages carry keys, which are stored nowhere."""
    if "services" not in document:
        return document
    services = [{**one, "url": None} if "url" in one else one for one in document["services"]]
    return {**document, "services": services}


def _names(cluster: Cluster) -> dict[str, Any]:
    """Those that a list has joined on, or else of the related rows."""
    if "owner_name" in vars(cluster):
        return vars(cluster)
    revision = cluster.template_revision
    return {
        "owner_name": cluster.owner.username,
        "template_name": revision.template.name,
        "template_number": revision.number,
    }


def _groups(outline: Outline, ready: Mapping[str, ReadyNodes]) -> list[dict[str, Any]]:
    counts = {name: nodes.count for name, nodes in ready.items()}
    return [{**group, "ready": counts.get(group["name"], 0)} for group in outline.groups]


def _last_operations(clusters: list[Cluster]) -> dict[UUID, dict[str, Any]]:
    ids = [cluster.pk for cluster in clusters]
    newest = Operation.objects.filter(cluster_id__in=ids).order_by("cluster_id", "-id").distinct("cluster_id")
    return {row[0]: _operation(*row[1:]) for row in newest.values_list("cluster_id", *_OPERATION)}


def _operation(
    pk: UUID,
    kind: str,
    state: str,
    created_at: datetime,
    ended_at: datetime | None,
    deadline: datetime | None,
    reason: str,
    message: str,
) -> dict[str, Any]:
    return {
        "id": str(pk),
        "kind": kind,
        "state": state,
        "created_at": rfc3339(created_at),
        "ended_at": rfc3339(ended_at),
        "deadline": rfc3339(deadline),
        "error": reason_of(reason, message),
    }
