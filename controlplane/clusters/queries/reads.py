"""Reads that the ORM cannot express, or that take it several times as long."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import connection

from controlplane.clusters.models import Operation, Site, Step
from controlplane.clusters.models.operation import State
from controlplane.clusters.phases import Verb
from controlplane.clusters.queries.instances import selected, split_rows
from tenants.access import Access

# Nodes have no foreign key to their observations, so the ORM would read all of both.
_READY: Final = """
SELECT n.cluster_id::text, n."group", count(*) FILTER (WHERE NOT n.ending), (array_agg(o.address ORDER BY n.index))[1]
  FROM clusters_node n
  JOIN clusters_observation o
    ON o.cluster_id = n.cluster_id AND o.run = n.run AND o.name = n.name AND o.attempt = n.attempt
 WHERE n.cluster_id = ANY(%s::uuid[]) AND o.state = 'ready'
 GROUP BY n.cluster_id, n."group"
"""


@dataclass(frozen=True, slots=True)
class ReadyNodes:
    """The ready nodes of one group. count: those that are to stay. address: of the first."""

    count: int
    address: str


def ready_nodes(cluster_ids: Iterable[str]) -> dict[str, dict[str, ReadyNodes]]:
    """The ready nodes by cluster and group; a group without any is left out."""
    ids, found = list(cluster_ids), {}  # type: ignore[var-annotated]
    if ids:
        with connection.cursor() as cursor:
            cursor.execute(_READY, [ids])
            for cluster, group, count, address in cursor.fetchall():
                found.setdefault(cluster, {})[group] = ReadyNodes(count, address)
    return found


class OperationDetail(NamedTuple):
    """cluster: the name of the cluster."""

    row: Operation
    cluster: str
    steps: Sequence[Step]


def operation_of(access: Access, ident: UUID) -> OperationDetail | None:
    """An operation of the tenant with its steps.

    One statement in 0.5 ms; the ORM takes two and 4 ms or more, and a client that waits reads it at least twice.
    """
    with connection.cursor() as cursor:
        cursor.execute(_one_operation(), [ident, access.tenant.id])
        found = [split_rows(row, Operation, Step) for row in cursor.fetchall()]
    if not found:
        return None
    operation, _, cluster = found[0]
    return OperationDetail(operation, cluster, [step for _, step, _ in found])


@cache
def _one_operation() -> str:
    return (
        f"SELECT {selected(('o', Operation), ('s', Step))}, c.name FROM clusters_operation o"  # noqa: S608
        " JOIN clusters_cluster c ON c.id = o.cluster_id JOIN clusters_step s ON s.operation_id = o.id"
        " WHERE o.id = %s AND c.tenant_id = %s ORDER BY s.position"
    )


# Of a template the last USUAL_OF operations count, among the tenant's last USUAL_AMONG clusters, USUAL_OF_ONE of each.
USUAL_OF: Final = 200
USUAL_AMONG: Final = 1000
USUAL_OF_ONE: Final = 3
# The ORM has no percentiles. The step that fetches images or packages does not count: the next launch has them.
_USUAL: Final = f"""
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


def usual_seconds(
    tenant_id: UUID, template_ids: Iterable[UUID], verb: Verb = Verb.CREATE
) -> dict[UUID, dict[str, Any]]:
    """{"p50", "p95", "of"} by template: seconds of the tenant's own last operations that succeeded, and their number.

    A template without such an operation is left out.
    """
    with connection.cursor() as cursor:
        cursor.execute(_USUAL, [tenant_id, USUAL_AMONG, verb, State.SUCCEEDED, list(template_ids), USUAL_OF])
        rows = cursor.fetchall()
    return {row[0]: {"p50": round(row[2], 1), "p95": round(row[3], 1), "of": row[1]} for row in rows}


# Every launch reads this: 0.3 ms, against 2 ms or more by the ORM. Columns in the order of the model, for from_db.
_SITE_COLUMNS: Final = ("id", "name", "kind", "ready", "ready_at", "capacity")
_SITES: Final = f"""
SELECT {", ".join(_SITE_COLUMNS)} FROM clusters_site s
 WHERE removed_at IS NULL
   AND (everyone OR EXISTS (SELECT FROM clusters_site_tenants WHERE site_id = s.id AND tenant_id = %s))
 ORDER BY name
"""  # noqa: S608


def sites_allowed(tenant_id: UUID, *, lock: bool) -> list[Site]:
    """The sites that the tenant may use, by name. Other columns than those of _SITE_COLUMNS are deferred.

    lock: keep them from being removed until the transaction ends.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"{_SITES} FOR KEY SHARE" if lock else _SITES, [tenant_id])
        rows = cursor.fetchall()
    return [
        Site.from_db("default", _SITE_COLUMNS, (*row[:-1], json.loads(row[-1] or "null"))) for row in rows
    ]
