"""Reads of clusters, and of what belongs to them, by the ORM. None takes a query per row."""

from collections.abc import Iterable
from uuid import UUID

from django.db.models import QuerySet

from controlplane.clusters.models import Cluster, Event, Node, Observation, Operation
from controlplane.clusters.phases import Phase
from templates.selectors import template_for
from tenants.access import Access

MOST_USERS = 100


def observations_of(clusters: Iterable[Cluster]) -> dict[UUID, dict[str, Observation]]:
    """The observation of the current attempt of every node, by cluster and node name."""
    attempts = {
        (cluster.id, node.run, node.name, node.attempt)
        for cluster in clusters
        for node in cluster.nodes.all()
    }
    found: dict[UUID, dict[str, Observation]] = {}
    for row in Observation.objects.filter(cluster_id__in={attempt[0] for attempt in attempts}):
        if (row.cluster_id, row.run, row.name, row.attempt) in attempts:
            found.setdefault(row.cluster_id, {})[row.name] = row
    return found


def operations_of(access: Access, cluster: Cluster | None = None) -> QuerySet[Operation]:
    """The operations of the tenant or of one cluster, newest first, with their steps."""
    operations = Operation.objects.filter(cluster__tenant=access.tenant).select_related("cluster")
    if cluster is not None:
        operations = operations.filter(cluster=cluster)
    return operations.prefetch_related("steps").order_by("-id")


def events_of(cluster: Cluster) -> QuerySet[Event]:
    """Newest first."""
    return cluster.events.order_by("-id")


def nodes_of(cluster: Cluster) -> list[Node]:
    """The nodes by group and number."""
    return sorted(cluster.nodes.all(), key=lambda node: (node.group, node.index))


def template_users(access: Access, name_or_id: str) -> list[dict[str, str]]:
    """[{"cluster", "owner", "phase"}]: the tenant's clusters of a template, by name, at most 100. Raises NotFound."""
    template = template_for(access, name_or_id)
    found = Cluster.objects.filter(tenant=access.tenant, template_revision__template=template)
    rows = found.exclude(phase=Phase.DELETED).order_by("name").values_list("name", "owner__username", "phase")
    return [dict(zip(("cluster", "owner", "phase"), row, strict=True)) for row in rows[:MOST_USERS]]
