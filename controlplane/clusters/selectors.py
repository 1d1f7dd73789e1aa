"""What is read of clusters: for lists, pages and plans. No query per row."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import Prefetch, QuerySet

from controlplane.clusters.access import clusters_of
from controlplane.clusters.listing import ListedCluster
from controlplane.clusters.models import Cluster, Event, Node, Observation, Operation, Step
from controlplane.clusters.models.operation import LIVE, State
from controlplane.clusters.phases import Phase, Verb
from controlplane.clusters.rows import selected, split_rows
from templates.selectors import template_for
from tenants.access import Access

# How many of the last operations of a template the usual seconds are taken from, among how many of the tenant's last
# clusters, and of each how many at most.
USUAL_OF = 200
MOST_USERS = 100
USUAL_AMONG = 1000
USUAL_OF_ONE = 3

# The time in which images or packages came is left out: it is spent once, and says nothing of the next launch.
_USUAL = f"""
SELECT template_id, count(*),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds), percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds)
  FROM (SELECT template_id, extract(epoch FROM took - coalesce(
                   (SELECT s.ended_at - s.started_at FROM clusters_step s
                     WHERE s.operation_id = last.id AND s.name = 'image'), '0'))::float8 AS seconds
          FROM (SELECT o.id, r.template_id, o.ended_at - o.created_at AS took,
                       row_number() OVER (PARTITION BY r.template_id ORDER BY o.id DESC) AS nth
                  FROM (SELECT id, template_revision_id FROM clusters_cluster
                         WHERE tenant_id = %s ORDER BY id DESC LIMIT %s) c
                  JOIN templates_templaterevision r ON r.id = c.template_revision_id
                  JOIN LATERAL (SELECT id, created_at, ended_at FROM clusters_operation
                                 WHERE cluster_id = c.id AND kind = %s AND state = %s
                                 ORDER BY id DESC LIMIT {USUAL_OF_ONE}) o ON true
                 WHERE r.template_id = ANY(%s)) last
         WHERE nth <= %s) usual
 GROUP BY template_id
"""  # noqa: S608

_READY = """
SELECT n.cluster_id::text, n."group", count(*) FILTER (WHERE NOT n.ending), (array_agg(o.address ORDER BY n.index))[1]
  FROM clusters_node n
  JOIN clusters_observation o
    ON o.cluster_id = n.cluster_id AND o.run = n.run AND o.name = n.name AND o.attempt = n.attempt
 WHERE n.cluster_id = ANY(%s::uuid[]) AND o.state = 'ready'
 GROUP BY n.cluster_id, n."group"
"""


@dataclass(frozen=True, slots=True)
class ReadyNodes:
    """Of one group: how many of those that are to stay, and the address of the first."""

    count: int
    address: str


def ready_nodes(clusters: Iterable[Cluster | ListedCluster]) -> dict[UUID | str, dict[str, ReadyNodes]]:
    """By the cluster's pk and group; a group without any is left out. Rows without models: a list has hundreds."""
    keys: dict[str, UUID | str] = {str(cluster.pk): cluster.pk for cluster in clusters}
    found: dict[UUID | str, dict[str, ReadyNodes]] = {}
    if keys:
        with connection.cursor() as cursor:
            cursor.execute(_READY, [list(keys)])
            for text, group, count, address in cursor.fetchall():
                found.setdefault(keys[text], {})[group] = ReadyNodes(count, address)
    return found


def clusters_list(access: Access) -> QuerySet[Cluster]:
    """Newest first, each with its owner, site, template, nodes and live operation; tombstones are left in."""
    live = Operation.objects.filter(state__in=LIVE)
    return (
        clusters_of(access)
        .select_related("owner", "site", "tenant", "template_revision__template")
        .prefetch_related("nodes", Prefetch("operations", queryset=live, to_attr="live_operations"))
        .order_by("-id")
    )


def observations_of(clusters: Iterable[Cluster]) -> dict[UUID, dict[str, Observation]]:
    """The observation of the current attempt of every node, by cluster and node name."""
    attempts = {
        (cluster.id, node.run, node.name, node.attempt)
        for cluster in clusters
        for node in cluster.nodes.all()
    }
    found: dict[UUID, dict[str, Observation]] = {}
    for seen in Observation.objects.filter(cluster_id__in={attempt[0] for attempt in attempts}):
        if (seen.cluster_id, seen.run, seen.name, seen.attempt) in attempts:
            found.setdefault(seen.cluster_id, {})[seen.name] = seen
    return found


class KnownOperation(NamedTuple):
    row: Operation
    cluster: str
    steps: Sequence[Step]


def operation_of(access: Access, ident: UUID) -> KnownOperation | None:
    """In one statement: whoever waits for an operation asks at least twice."""
    with connection.cursor() as cursor:
        cursor.execute(_one_operation(), [ident, access.tenant.id])
        found = [split_rows(row, Operation, Step) for row in cursor.fetchall()]
    if not found:
        return None
    operation, _, cluster = found[0]
    return KnownOperation(operation, cluster, [step for _, step, _ in found])


@cache
def _one_operation() -> str:
    return (
        f"SELECT {selected(('o', Operation), ('s', Step))}, c.name FROM clusters_operation o"  # noqa: S608
        " JOIN clusters_cluster c ON c.id = o.cluster_id JOIN clusters_step s ON s.operation_id = o.id"
        " WHERE o.id = %s AND c.tenant_id = %s ORDER BY s.position"
    )


def operations_of(access: Access, cluster: Cluster | None = None) -> QuerySet[Operation]:
    """Newest first, with their steps."""
    operations = Operation.objects.filter(cluster__tenant=access.tenant).select_related("cluster")
    if cluster is not None:
        operations = operations.filter(cluster=cluster)
    return operations.prefetch_related("steps").order_by("-id")


def events_of(cluster: Cluster) -> QuerySet[Event]:
    return cluster.events.order_by("-id")


def nodes_of(cluster: Cluster) -> list[Node]:
    return sorted(cluster.nodes.all(), key=lambda node: (node.group, node.index))


def template_users(access: Access, name_or_id: str) -> list[dict[str, str]]:
    """[{"cluster", "owner", "phase"}]: the tenant's clusters of a template, by name, at most 100. Raises NotFound."""
    template = template_for(access, name_or_id)
    found = Cluster.objects.filter(tenant=access.tenant, template_revision__template=template)
    rows = found.exclude(phase=Phase.DELETED).order_by("name").values_list("name", "owner__username", "phase")
    return [dict(zip(("cluster", "owner", "phase"), row, strict=True)) for row in rows[:MOST_USERS]]


def usual_seconds(
    tenant_id: UUID, template_ids: Iterable[UUID], verb: Verb = Verb.CREATE
) -> dict[UUID, dict[str, Any]]:
    """{"p50", "p95", "of"} by template, from the tenant's own last operations that succeeded; none where there were
    none.
    """
    with connection.cursor() as cursor:
        cursor.execute(_USUAL, [tenant_id, USUAL_AMONG, verb, State.SUCCEEDED, list(template_ids), USUAL_OF])
        rows = cursor.fetchall()
    return {row[0]: {"p50": round(row[2], 1), "p95": round(row[3], 1), "of": row[1]} for row in rows}
