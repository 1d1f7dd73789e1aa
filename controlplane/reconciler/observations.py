"""What was last seen of nodes: guarded rows, written per transition, that passes read instead of asking."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from controlplane.clusters.models import Observation
from controlplane.clusters.queries.instances import rows
from controlplane.provisioners.base import (
    ClusterObservation,
    DrainOutcome,
    DrainReport,
    NodeObservation,
    NodeState,
)
from controlplane.work.announce import announce
from controlplane.work.models import Kind
from controlplane.work.wake import waking

# News of one cluster comes in bursts; the first of them waits this long for the rest.
COALESCE_SECONDS = 0.03
# Nodes that only start give a pass nothing to do but to show progress: a node that is ready sooner saves that pass.
STARTING_SECONDS = 1.0
STARTING = frozenset({NodeState.WAITING, NodeState.STARTING})
MESSAGE_LENGTH = 2000

# Whoever holds a row is writing what is newer.
_DROP_UNNAMED = """
DELETE FROM clusters_observation WHERE id IN (
    SELECT id FROM clusters_observation
     WHERE cluster_id = ANY(%s::uuid[]) AND observed_at < coalesce(%s::timestamptz, 'infinity')
       AND (cluster_id, run, name, attempt) NOT IN (SELECT * FROM unnest(%s::uuid[], %s::int[], %s::text[], %s::int[]))
       FOR UPDATE SKIP LOCKED
) RETURNING cluster_id, state
"""

# Rows are locked in one order, whoever takes them in. What is known already is left out beforehand, because a conflict
# locks and writes its row also where nothing is updated.
_SEE = """
WITH told AS (
    SELECT * FROM unnest(%s::uuid[], %s::int[], %s::text[], %s::int[], %s::bigint[], %s::text[], %s::text[], %s::text[],
                         %s::text[], %s::text[], %s::int[], %s::jsonb[], %s::jsonb[], %s::text[])
        AS v (cluster_id, run, name, attempt, version, state, incarnation, address,
              reason, message, exit_code, stages, drain, kind)
), seen AS (
    INSERT INTO clusters_observation AS o
           (cluster_id, run, name, attempt, version, state, incarnation, address, reason, message, exit_code, stages,
            drain, observed_at)
    SELECT v.cluster_id, v.run, v.name, attempt, version, state, incarnation, address, v.reason, v.message, exit_code,
           stages, drain, clock_timestamp()
      FROM told v JOIN clusters_cluster c ON c.id = v.cluster_id
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
      FROM told v JOIN seen USING (cluster_id, run, name, attempt) WHERE v.kind <> ''
)
SELECT cluster_id, bool_and(state = ANY(%s) AND reason = '') FROM seen GROUP BY cluster_id
"""
# Once the last node is ready there is nothing more to wait for.
_WAKE = waking("""
SELECT %s, c.id, c.tenant_id, clock_timestamp() + CASE WHEN c.id = ANY(%s::uuid[]) THEN %s WHEN EXISTS (
           SELECT FROM clusters_node n LEFT JOIN clusters_observation o
               ON (o.cluster_id, o.run, o.name, o.attempt) = (n.cluster_id, n.run, n.name, n.attempt)
            WHERE n.cluster_id = c.id AND o.state IS DISTINCT FROM 'ready'
       ) THEN %s ELSE 0 END * interval '1 second'
  FROM clusters_cluster c WHERE c.id = ANY(%s::uuid[]) ORDER BY c.id
""")


def node_observations(cluster_id: UUID) -> Iterator[NodeObservation]:
    """The last observation of each attempt that is not gone."""
    for row in rows(Observation, "cluster_id = %s AND state <> %s", cluster_id, NodeState.GONE):
        yield NodeObservation(
            cluster_id=row.cluster_id,
            run=row.run,
            name=row.name,
            attempt=row.attempt,
            version=row.version,
            state=NodeState(row.state),
            incarnation=row.incarnation,
            address=row.address,
            reason=row.reason,
            message=row.message,
            exit_code=row.exit_code,
            stages={stage: datetime.fromisoformat(at) for stage, at in row.stages.items()},
            drain=DrainReport(**{**row.drain, "outcome": DrainOutcome(row.drain["outcome"])})
            if row.drain
            else None,
        )


def notice(*observations: NodeObservation) -> int:
    """Take in transitions, in their order, and wake their clusters; of how many clusters they were news."""
    told: set[UUID] = set()
    for batch in _batches(observations):
        with transaction.atomic():
            news = _see(batch)
            if news:
                starting = [cluster for cluster, only_starting in news.items() if only_starting]
                with connection.cursor() as cursor:
                    parameters: list[Any] = [
                        Kind.CLUSTER,
                        starting,
                        STARTING_SECONDS,
                        COALESCE_SECONDS,
                        list(news),
                    ]
                    cursor.execute(_WAKE, parameters)
                announce()
            told.update(news)
    return len(told)


def replace_all(seen: Mapping[UUID, ClusterObservation], *, before: datetime | None = None) -> set[UUID]:
    """Take in fresh and complete answers about clusters: what they do not name is gone. Of which it was news.

    before: when the answers were asked for, if others may have taken in news meanwhile.
    """
    nodes = [node for cluster in sorted(seen) for node in seen[cluster].nodes]
    news = set(_see(nodes))
    with connection.cursor() as cursor:
        named = _columns(nodes, ("cluster_id", "run", "name", "attempt"))
        cursor.execute(_DROP_UNNAMED, [list(seen), before, *named])
        return news | {cluster for cluster, state in cursor.fetchall() if state != NodeState.GONE}


EVENTS = {
    NodeState.READY: "NODE_READY",
    NodeState.UNREADY: "NODE_UNREADY",
    NodeState.ENDED: "NODE_ENDED",
    NodeState.DRAINED: "NODE_DRAINED",
}


def _see(batch: Sequence[NodeObservation]) -> dict[UUID, bool]:
    """Store the observations. Returns the clusters that they were news of, each with whether its nodes only start.

    batch: each attempt once.
    """
    if not batch:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_SEE, [*_arrays(batch), list(STARTING)])
        return dict(cursor.fetchall())


def _batches(observations: Iterable[NodeObservation]) -> Iterator[list[NodeObservation]]:
    """Group the observations so that one statement writes each row once; transitions that are events are all kept."""
    batch: dict[tuple[UUID, int, str, int], NodeObservation] = {}
    for observation in observations:
        attempt = (observation.cluster_id, observation.run, observation.name, observation.attempt)
        before = batch.get(attempt)
        if before and before.version >= observation.version:
            continue
        if before and before.state in EVENTS:
            yield list(batch.values())
            batch = {}
        batch[attempt] = observation
    if batch:
        yield list(batch.values())


def _arrays(observations: Sequence[NodeObservation]) -> list[list[Any]]:
    return [
        *_columns(
            observations,
            ("cluster_id", "run", "name", "attempt", "version", "state", "incarnation", "address"),
        ),
        [observation.reason[:64] for observation in observations],
        [observation.message[:MESSAGE_LENGTH] for observation in observations],
        [observation.exit_code for observation in observations],
        [
            json.dumps({stage: at.isoformat() for stage, at in observation.stages.items()})
            for observation in observations
        ],
        [
            json.dumps(asdict(observation.drain)) if observation.drain else None
            for observation in observations
        ],
        [EVENTS.get(observation.state, "") for observation in observations],
    ]


def _columns(observations: Iterable[NodeObservation], names: Sequence[str]) -> list[list[Any]]:
    return [[getattr(observation, name) for observation in observations] for name in names]


def forget_cluster(cluster_id: UUID) -> None:
    Observation.objects.filter(cluster_id=cluster_id).delete()
