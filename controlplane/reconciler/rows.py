"""What a pass reads and writes of its cluster, spelled out."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, cast
from uuid import UUID

from django.db import connection

from controlplane.clusters.models import Cluster, Node, Site
from controlplane.clusters.models import Step as StepRow
from controlplane.clusters.queries.instances import selected, split_rows
from tenants.models import Tenant

# Everything about a node that the reconciler changes, with its type.
NODE_FIELDS: Mapping[str, str] = {
    "attempt": "integer",
    "attempt_generation": "bigint",
    "confirmed": "boolean",
    "ending": "boolean",
    "leaving": "boolean",
    "drain_until": "timestamptz",
    "failures": "integer",
    "retry_at": "timestamptz",
    "run": "integer",
}
_STEP_FIELDS: Mapping[str, str] = {
    "started_at": "timestamptz",
    "ended_at": "timestamptz",
    "message": "text",
}
_LOCK = "SELECT revision, clock_timestamp() FROM clusters_cluster WHERE id = %s FOR NO KEY UPDATE"
_EVENT = """
INSERT INTO clusters_event (cluster_id, at, kind, node, message) VALUES (%s, clock_timestamp(), %s, '', %s)
"""


def cluster_read(cluster_id: UUID) -> Cluster | None:
    """With its tenant and its site, whether that was removed or not."""
    with connection.cursor() as cursor:
        cursor.execute(_cluster_select(), [cluster_id])
        row = cursor.fetchone()
    if row is None:
        return None
    cluster, tenant, site = split_rows(row, Cluster, Tenant, Site)
    cluster.tenant, cluster.site = tenant, site
    return cast(Cluster, cluster)


@cache
def _cluster_select() -> str:
    return (
        f"SELECT {selected(('c', Cluster), ('t', Tenant), ('s', Site))} FROM clusters_cluster c"  # noqa: S608
        f" JOIN {Tenant._meta.db_table} t ON t.id = c.tenant_id JOIN {Site._meta.db_table} s ON s.id = c.site_id"
        " WHERE c.id = %s"
    )


def cluster_write(cluster: Cluster, columns: Mapping[str, Any]) -> bool:
    """Unless somebody has written it since it was read; whether it was. Then the instance is as the row."""
    names = list(columns)
    assigned = ", ".join(f"{name} = %s" for name in names)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE clusters_cluster SET {assigned}, revision = revision + 1 WHERE id = %s AND revision = %s",  # noqa: S608
            [*map(_plain, columns.values()), cluster.id, cluster.revision],
        )
        if not cursor.rowcount:
            return False
    for name in names:
        setattr(cluster, name, columns[name])
    cluster.revision += 1
    return True


def as_read(cluster: Cluster) -> datetime | None:
    """The time, if nobody else has written the cluster since; nobody does before the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [cluster.id])
        row = cursor.fetchone()
    return row[1] if row is not None and row[0] == cluster.revision else None


def database_now() -> datetime:
    """Times that are compared are of one clock, whichever machine they are written on."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cast(datetime, cursor.fetchone()[0])


def nodes_write(cluster_id: UUID, nodes: Sequence[Node]) -> None:
    _update("clusters_node", "cluster_id", cluster_id, ("name", "text"), nodes, NODE_FIELDS)


def parts_write(operation_id: UUID, parts: Sequence[StepRow]) -> None:
    _update("clusters_step", "operation_id", operation_id, ("position", "integer"), parts, _STEP_FIELDS)


def event_write(cluster_id: UUID, kind: str, message: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_EVENT, [cluster_id, kind, message])


def _update(
    table: str,
    owner: str,
    owner_id: UUID,
    key: tuple[str, str],
    rows: Iterable[Any],
    fields: Mapping[str, str],
) -> None:
    """All rows of one owner at once, found by their key among its others."""
    types = {key[0]: key[1], **fields}
    assigned = ", ".join(f"{name} = v.{name}" for name in fields)
    arrays = ", ".join(f"%s::{kind}[]" for kind in types.values())
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} r SET {assigned} FROM unnest({arrays}) AS v ({', '.join(types)})"  # noqa: S608
            f" WHERE r.{owner} = %s AND r.{key[0]} = v.{key[0]}",
            [*([getattr(row, name) for row in rows] for name in types), owner_id],
        )


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value
