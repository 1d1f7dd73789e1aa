"""Hand-written SQL of the site room: observations in bulk, and what the listing of a site changes."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from django.db import connection

from controlplane.provisioners.base import NodeObservation, NodeState
from controlplane.work.models import Kind
from controlplane.work.queries import wake_statement

MESSAGE_LENGTH = 2000
# Nodes that only start give a pass nothing to do.
STARTING = frozenset({NodeState.WAITING, NodeState.STARTING})
# The states that become events of the cluster.
EVENTS = {
    NodeState.READY: "NODE_READY",
    NodeState.UNREADY: "NODE_UNREADY",
    NodeState.ENDED: "NODE_ENDED",
    NodeState.DRAINED: "NODE_DRAINED",
}

# Saves two round trips: observations, events and whether they are news take one statement, in place of a SELECT, an
# upsert and an INSERT.
# Rows are locked in one order, so that two writers never wait for each other. Rows that are known already are left
# out beforehand, because a conflict locks and writes its row even where nothing is updated.
_STORE = """
WITH observed AS (
    SELECT * FROM unnest(%s::uuid[], %s::int[], %s::text[], %s::int[], %s::bigint[], %s::text[], %s::text[], %s::text[],
                         %s::text[], %s::text[], %s::int[], %s::jsonb[], %s::jsonb[], %s::text[])
        AS v (cluster_id, run, name, attempt, version, state, incarnation, address,
              reason, message, exit_code, stages, drain, kind)
), stored AS (
    INSERT INTO clusters_observation AS o
           (cluster_id, run, name, attempt, version, state, incarnation, address, reason, message, exit_code, stages,
            drain, observed_at)
    SELECT v.cluster_id, v.run, v.name, attempt, version, state, incarnation, address, v.reason, v.message, exit_code,
           stages, drain, clock_timestamp()
      FROM observed v JOIN clusters_cluster c ON c.id = v.cluster_id
     WHERE NOT EXISTS (
               SELECT FROM clusters_observation o
                WHERE (o.cluster_id, o.run, o.name, o.attempt) = (v.cluster_id, v.run, v.name, v.attempt)
                  AND o.version >= v.version)
     ORDER BY v.cluster_id, v.run, v.name, attempt
    ON CONFLICT (cluster_id, run, name, attempt) DO UPDATE
       SET version = excluded.version, state = excluded.state, incarnation = excluded.incarnation,
           address = excluded.address, reason = excluded.reason, message = excluded.message,
           exit_code = excluded.exit_code, stages = excluded.stages, drain = excluded.drain,
           observed_at = excluded.observed_at
     WHERE o.version < excluded.version
    RETURNING o.cluster_id, o.run, o.name, o.attempt, o.state, o.reason
), events AS (
    INSERT INTO clusters_event (cluster_id, at, kind, node, message)
    SELECT cluster_id, clock_timestamp(), v.kind, name, left(v.message, 1000)
      FROM observed v JOIN stored USING (cluster_id, run, name, attempt) WHERE v.kind <> ''
)
SELECT cluster_id, bool_and(state = ANY(%s) AND reason = '') FROM stored GROUP BY cluster_id
"""

# Saves a round trip: the ORM would select the rows to lock them, and delete them by their ids then.
# A row that is locked is being written by a newer observation, so it is skipped.
_DROP_UNNAMED = """
DELETE FROM clusters_observation WHERE id IN (
    SELECT id FROM clusters_observation
     WHERE cluster_id = ANY(%s::uuid[]) AND observed_at < coalesce(%s::timestamptz, 'infinity')
       AND (cluster_id, run, name, attempt) NOT IN (SELECT * FROM unnest(%s::uuid[], %s::int[], %s::text[], %s::int[]))
       FOR UPDATE SKIP LOCKED
) RETURNING cluster_id, state
"""

# Saves a query for each cluster: it computes when each becomes due, and wakes all, in one round trip.
# Once the last node is ready there is no further observation to wait for.
_WAKE_OBSERVED = wake_statement("""
SELECT %s, c.id, c.tenant_id, clock_timestamp() + CASE WHEN c.id = ANY(%s::uuid[]) THEN %s WHEN EXISTS (
           SELECT FROM clusters_node n LEFT JOIN clusters_observation o
               ON (o.cluster_id, o.run, o.name, o.attempt) = (n.cluster_id, n.run, n.name, n.attempt)
            WHERE n.cluster_id = c.id AND o.state IS DISTINCT FROM 'ready'
       ) THEN %s ELSE 0 END * interval '1 second'
  FROM clusters_cluster c WHERE c.id = ANY(%s::uuid[]) ORDER BY c.id
""")

# Saves a parameter for each cluster of the site: the ids are one array.
_MISSING = """
SELECT DISTINCT c.id, c.tenant_id FROM clusters_observation o JOIN clusters_cluster c ON c.id = o.cluster_id
 WHERE c.site_id = %s AND o.state <> 'gone' AND o.observed_at < %s AND c.id <> ALL(%s::uuid[])
"""

# Saves a round trip: the ORM would select the rows to lock them, and update them by their ids then.
# The clusters that wait for a listing in order to rest, and those whose phase moves on by itself. A row that a pass
# has locked is skipped: the pass knows more.
_OBSERVED_AT = """
UPDATE clusters_cluster SET observed_at = %(at)s, revision = revision + 1 WHERE id IN (
    SELECT id FROM clusters_cluster
     WHERE site_id = %(site)s AND observed_at < %(at)s
       AND (last_write_at + %(quiet)s BETWEEN observed_at AND %(at)s OR phase = ANY(%(transient)s))
       FOR NO KEY UPDATE SKIP LOCKED
)
"""

# Takes the clock of the database; the ORM would take that of this process.
_EVENT = """
INSERT INTO clusters_event (cluster_id, at, kind, node, message) VALUES (%s, clock_timestamp(), %s, '', %s)
"""


def database_now() -> datetime:
    """The clock of the database. Times that are compared all come from it, whichever machine asks."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cast(datetime, cursor.fetchone()[0])


def event_write(cluster_id: UUID, kind: str, message: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_EVENT, [cluster_id, kind, message[:1000]])


def store_observations(batch: Sequence[NodeObservation]) -> dict[UUID, bool]:
    """Store the observations that are newer than the stored ones, with their events.

    batch: each attempt at most once. Returns the clusters with news, and of each whether its nodes only start.
    """
    if not batch:
        return {}
    columns = [
        *_columns(
            batch, ("cluster_id", "run", "name", "attempt", "version", "state", "incarnation", "address")
        ),
        [observation.reason[:64] for observation in batch],
        [observation.message[:MESSAGE_LENGTH] for observation in batch],
        [observation.exit_code for observation in batch],
        [json.dumps({stage: at.isoformat() for stage, at in observed.stages.items()}) for observed in batch],
        [json.dumps(asdict(observed.drain)) if observed.drain else None for observed in batch],
        [EVENTS.get(observation.state, "") for observation in batch],
    ]
    with connection.cursor() as cursor:
        cursor.execute(_STORE, [*columns, list(STARTING)])
        return dict(cursor.fetchall())


def drop_unnamed_observations(
    clusters: Iterable[UUID], named: Sequence[NodeObservation], before: datetime | None
) -> set[UUID]:
    """Drop the observations of these clusters that are not named, and were stored before that time, if given.

    Returns the clusters that lost the observation of an attempt that was not gone.
    """
    keys = _columns(named, ("cluster_id", "run", "name", "attempt"))
    with connection.cursor() as cursor:
        cursor.execute(_DROP_UNNAMED, [list(clusters), before, *keys])
        return {cluster for cluster, state in cursor.fetchall() if state != NodeState.GONE}


def wake_observed(news: Mapping[UUID, bool], *, starting_after: float, after: float) -> None:
    """Make clusters due. news: of each whether its nodes only start. starting_after, after: seconds."""
    starting = [cluster for cluster, only_starting in news.items() if only_starting]
    parameters: list[Any] = [Kind.CLUSTER, starting, starting_after, after, list(news)]
    with connection.cursor() as cursor:
        cursor.execute(_WAKE_OBSERVED, parameters)


def missing_clusters(site_id: UUID, found: Collection[UUID], at: datetime) -> list[tuple[UUID, UUID]]:
    """(cluster, tenant): was observed at the site before that time, and is not among those that were found."""
    with connection.cursor() as cursor:
        cursor.execute(_MISSING, [site_id, at, list(found)])
        return [(cluster, tenant) for cluster, tenant in cursor.fetchall()]


def set_observed_at(site_id: UUID, at: datetime, *, quiet: timedelta, transient: Iterable[str]) -> None:
    """Record that a complete listing of the site began at that time, for the clusters that wait for one."""
    parameters: dict[str, Any] = {"at": at, "site": site_id, "quiet": quiet, "transient": sorted(transient)}
    with connection.cursor() as cursor:
        cursor.execute(_OBSERVED_AT, parameters)


def _columns(observations: Sequence[NodeObservation], names: Sequence[str]) -> list[list[Any]]:
    return [[getattr(observation, name) for observation in observations] for name in names]
