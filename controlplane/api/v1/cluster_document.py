"""A cluster as clients see it: its shape, and the function that builds it from rows."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import prefetch_related_objects
from rest_framework import serializers

from controlplane.api.fields import NAME_SCHEMA, Choice, Tree
from controlplane.api.shapes import Out
from controlplane.api.v1.common import AmountsOut, reason_of, rfc3339
from controlplane.api.v1.outline import launches_of
from controlplane.clusters.access import may_open_pages
from controlplane.clusters.endpoints import endpoints
from controlplane.clusters.models import Cluster, Observation, Operation
from controlplane.clusters.models.operation import State
from controlplane.clusters.phases import Goal, Phase, Verb
from controlplane.clusters.selectors import observations_of
from templates.parsing import amounts_body
from templates.schema import Group, Launch
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


def clusters_json(access: Access, clusters: Iterable[Cluster]) -> list[dict[str, Any]]:
    """Documents of clusters, as `clusters_list` reads them or otherwise. At most four queries, however many."""
    rows = list(clusters)
    prefetch_related_objects(rows, "nodes")
    seen, launches, last = observations_of(rows), launches_of(rows), _last_operations(rows)
    return [
        cluster_json(access, row, launches[row.pk], seen.get(row.pk, {}), last.get(row.pk)) for row in rows
    ]


def cluster_json(
    access: Access,
    cluster: Cluster,
    launch: Launch,
    seen: Mapping[str, Observation],
    operation: Operation | None,
) -> dict[str, Any]:
    revision, actor = cluster.template_revision, access.actor
    return {
        "id": str(cluster.pk),
        "name": cluster.name,
        "tenant": cluster.tenant.name,
        "owner": actor.username if cluster.owner_id == actor.user_id else cluster.owner.username,
        "site": cluster.site.name,
        "template": {"name": revision.template.name, "revision": revision.number},
        "goal": cluster.goal,
        "phase": cluster.phase,
        "generation": cluster.generation,
        "observed_generation": cluster.observed_generation,
        "reason": cluster.reason or None,
        "message": cluster.message or None,
        "groups": [_group(group, cluster, seen) for group in launch.groups],
        "services": endpoints(cluster, launch, seen, open_pages=may_open_pages(access, cluster)),
        "conditions": cluster.conditions,
        "takes": launch.takes.to_json(),
        "created_at": rfc3339(cluster.created_at),
        "ready_at": rfc3339(cluster.ready_at),
        "deleted_at": rfc3339(cluster.deleted_at),
        "operation": _operation(operation),
    }


def without_pages(document: dict[str, Any]) -> dict[str, Any]:
    """The document as it may be stored: the links to pages carry keys, which are stored nowhere."""
    if "services" not in document:
        return document
    services = [{**one, "url": None} if "url" in one else one for one in document["services"]]
    return {**document, "services": services}


def _group(group: Group, cluster: Cluster, seen: Mapping[str, Observation]) -> dict[str, Any]:
    nodes = [node for node in cluster.nodes.all() if node.group == group.name and not node.ending]
    ready = sum(1 for node in nodes if node.name in seen and seen[node.name].state == "ready")
    amounts = amounts_body(group.each)
    return {"name": group.name, "role": group.role, "wanted": group.count, "ready": ready, **amounts}


def _last_operations(clusters: list[Cluster]) -> dict[Any, Operation]:
    ids = [cluster.pk for cluster in clusters]
    newest = Operation.objects.filter(cluster_id__in=ids).order_by("cluster_id", "-id").distinct("cluster_id")
    return {operation.cluster_id: operation for operation in newest}


def _operation(operation: Operation | None) -> dict[str, Any] | None:
    if operation is None:
        return None
    return {
        "id": str(operation.pk),
        "kind": operation.kind,
        "state": operation.state,
        "created_at": rfc3339(operation.created_at),
        "ended_at": rfc3339(operation.ended_at),
        "deadline": rfc3339(operation.deadline),
        "error": reason_of(operation.reason, operation.message),
    }
