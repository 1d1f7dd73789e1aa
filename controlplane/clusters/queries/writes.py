"""Writes that the ORM cannot express in one statement."""

from typing import Final
from uuid import UUID

from django.db import connection

from controlplane.clusters.channels import OPERATION_CHANNEL
from controlplane.clusters.models.operation import LIVE
from controlplane.work.models import Kind
from controlplane.work.queries import wake_statement

# The notification goes out only where the update ended the operation; the ORM would take two statements.
_END: Final = """
WITH ended AS (
    UPDATE clusters_operation SET state = %s, reason = %s, message = %s, ended_at = statement_timestamp()
     WHERE id = %s AND state = ANY(%s) RETURNING id
)
SELECT pg_notify(%s, id::text) FROM ended
"""
# The ORM has no INSERT from a SELECT, and a tenant may have thousands of clusters.
_WAKE_ALL: Final = wake_statement("""
SELECT %s, id, tenant_id, clock_timestamp()
  FROM clusters_cluster WHERE tenant_id = %s AND phase <> 'deleted' ORDER BY id
""")


def end_live_operation(operation_id: UUID, *, state: str, reason: str, message: str) -> bool:
    """End the operation and notify those who wait for it. False: it had ended before."""
    with connection.cursor() as cursor:
        cursor.execute(_END, [state, reason, message, operation_id, list(LIVE), OPERATION_CHANNEL])
        return bool(cursor.rowcount)


def wake_clusters_of(tenant_id: UUID) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_WAKE_ALL, [Kind.CLUSTER, tenant_id])
