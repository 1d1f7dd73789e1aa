"""What was last seen of nodes: guarded rows, written per transition, that passes read instead of asking."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from controlplane.clusters.models import Observation
from controlplane.clusters.rows import rows
from controlplane.provisioners.base import DrainReport, NodeState, Observed, ObservedNode, Outcome
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
     WHERE cluster_id = ANY(%s::uuid[]) AND seen_at < coalesce(%s::timestamptz, 'infinity')
       AND (cluster_id, run, name, birth) NOT IN (SELECT * FROM unnest(%s::uuid[], %s::int[], %s::text[], %s::int[]))
       FOR UPDATE SKIP LOCKED
) RETURNING cluster_id, state
"""

# Rows are locked in one order, whoever takes them in. What is known already is left out beforehand, because a conflict
# locks and writes its row also where nothing is updated.
_SEE = """
WITH told AS (
    SELECT * FROM unnest(%s::uuid[], %s::int[], %s::text[], %s::int[], %s::bigint[], %s::text[], %s::text[], %s::text[],
                         %s::text[], %s::text[], %s::int[], %s::jsonb[], %s::jsonb[], %s::text[])
        AS v (cluster_id, run, name, birth, version, state, incarnation, address,
              reason, message, exit_code, stages, drain, kind)
), seen AS (
    INSERT INTO clusters_observation AS o
           (cluster_id, run, name, birth, version, state, incarnation, address, reason, message, exit_code, stages,
            drain, seen_at)
    SELECT v.cluster_id, v.run, v.name, birth, version, state, incarnation, address, v.reason, v.message, exit_code,
           stages, drain, clock_timestamp()
      FROM told v JOIN clusters_cluster c ON c.id = v.cluster_id
     WHERE NOT EXISTS (
               SELECT FROM clusters_observation o
                WHERE (o.cluster_id, o.run, o.name, o.birth) = (v.cluster_id, v.run, v.name, v.birth)
                  AND o.version >= v.version)
     ORDER BY v.cluster_id, v.run, v.name, birth
    ON CONFLICT (cluster_id, run, name, birth) DO UPDATE
       SET version = excluded.version, state = excluded.state, incarnation = excluded.incarnation,
           address = excluded.address, reason = excluded.reason, message = excluded.message,
           exit_code = excluded.exit_code, stages = excluded.stages, drain = excluded.drain,
           seen_at = excluded.seen_at
     WHERE o.version < excluded.version
    RETURNING o.cluster_id, o.run, o.name, o.birth, o.state, o.reason
), events AS (
    INSERT INTO clusters_event (cluster_id, at, kind, node, message)
    SELECT cluster_id, clock_timestamp(), v.kind, name, left(v.message, 1000)
      FROM told v JOIN seen USING (cluster_id, run, name, birth) WHERE v.kind <> ''
)
SELECT cluster_id, bool_and(state = ANY(%s) AND reason = '') FROM seen GROUP BY cluster_id
"""
# Once the last node is ready there is nothing more to wait for.
_WAKE = waking("""
SELECT %s, c.id, c.tenant_id, clock_timestamp() + CASE WHEN c.id = ANY(%s::uuid[]) THEN %s WHEN EXISTS (
           SELECT FROM clusters_node n LEFT JOIN clusters_observation o
               ON (o.cluster_id, o.run, o.name, o.birth) = (n.cluster_id, n.run, n.name, n.birth)
            WHERE n.cluster_id = c.id AND o.state IS DISTINCT FROM 'ready'
       ) THEN %s ELSE 0 END * interval '1 second'
  FROM clusters_cluster c WHERE c.id = ANY(%s::uuid[]) ORDER BY c.id
""")


def sights_of(cluster_id: UUID) -> Iterator[ObservedNode]:
    """The last sight of each birth that is not gone."""
    for row in rows(Observation, "cluster_id = %s AND state <> %s", cluster_id, NodeState.GONE):
        yield ObservedNode(
            cluster_id=row.cluster_id,
            run=row.run,
            name=row.name,
            birth=row.birth,
            version=row.version,
            state=NodeState(row.state),
            incarnation=row.incarnation,
            address=row.address,
            reason=row.reason,
            message=row.message,
            exit_code=row.exit_code,
            stages={stage: datetime.fromisoformat(at) for stage, at in row.stages.items()},
            drain=DrainReport(**{**row.drain, "outcome": Outcome(row.drain["outcome"])})
            if row.drain
            else None,
        )


def notice(*sights: ObservedNode) -> int:
    """Take in transitions, in their order, and wake their clusters; of how many clusters they were news."""
    told: set[UUID] = set()
    for batch in _batches(sights):
        with transaction.atomic():
            news = _see(batch)
            if news:
                starting = [cluster for cluster, only_starting in news.items() if only_starting]
                with connection.cursor() as cursor:
                    asked: list[Any] = [
                        Kind.CLUSTER,
                        starting,
                        STARTING_SECONDS,
                        COALESCE_SECONDS,
                        list(news),
                    ]
                    cursor.execute(_WAKE, asked)
                announce()
            told.update(news)
    return len(told)


def replace_all(seen: Mapping[UUID, Observed], *, before: datetime | None = None) -> set[UUID]:
    """Take in fresh and complete answers about clusters: what they do not name is gone. Of which it was news.

    before: when the answers were asked for, if others may have taken in news meanwhile.
    """
    nodes = [node for cluster in sorted(seen) for node in seen[cluster].nodes]
    news = set(_see(nodes))
    with connection.cursor() as cursor:
        named = _columns(nodes, ("cluster_id", "run", "name", "birth"))
        cursor.execute(_DROP_UNNAMED, [list(seen), before, *named])
        return news | {cluster for cluster, state in cursor.fetchall() if state != NodeState.GONE}


EVENTS = {
    NodeState.READY: "NODE_READY",
    NodeState.UNREADY: "NODE_UNREADY",
    NodeState.ENDED: "NODE_ENDED",
    NodeState.DRAINED: "NODE_DRAINED",
}


def _see(batch: Sequence[ObservedNode]) -> dict[UUID, bool]:
    """Store the observations. Returns the clusters that they were news of, each with whether its nodes only start.

    batch: each birth once.
    """
    if not batch:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_SEE, [*_arrays(batch), list(STARTING)])
        return dict(cursor.fetchall())


def _batches(sights: Iterable[ObservedNode]) -> Iterator[list[ObservedNode]]:
    """One statement writes a row once: of the sights of a birth it is given the last, and each that is an event."""
    batch: dict[tuple[UUID, int, str, int], ObservedNode] = {}
    for sight in sights:
        birth = (sight.cluster_id, sight.run, sight.name, sight.birth)
        before = batch.get(birth)
        if before and before.version >= sight.version:
            continue
        if before and before.state in EVENTS:
            yield list(batch.values())
            batch = {}
        batch[birth] = sight
    if batch:
        yield list(batch.values())


def _arrays(sights: Sequence[ObservedNode]) -> list[list[Any]]:
    return [
        *_columns(
            sights, ("cluster_id", "run", "name", "birth", "version", "state", "incarnation", "address")
        ),
        [sight.reason[:64] for sight in sights],
        [sight.message[:MESSAGE_LENGTH] for sight in sights],
        [sight.exit_code for sight in sights],
        [json.dumps({stage: at.isoformat() for stage, at in sight.stages.items()}) for sight in sights],
        [json.dumps(asdict(sight.drain)) if sight.drain else None for sight in sights],
        [EVENTS.get(sight.state, "") for sight in sights],
    ]


def _columns(sights: Iterable[ObservedNode], names: Sequence[str]) -> list[list[Any]]:
    return [[getattr(sight, name) for sight in sights] for name in names]


def forget_cluster(cluster_id: UUID) -> None:
    Observation.objects.filter(cluster_id=cluster_id).delete()
