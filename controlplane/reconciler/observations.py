"""What was last seen of nodes: guarded rows, written per transition, that passes read instead of asking."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction

from controlplane.clusters.models import Cluster, Event, Observation
from controlplane.provisioners.base import DrainReport, NodeState, Observed, ObservedNode, Outcome
from controlplane.work.models import Kind
from controlplane.work.wake import wake

# News of one cluster comes in bursts; the first of them waits this long for the rest.
COALESCE_SECONDS = 0.03
MESSAGE_LENGTH = 2000

_SEE = """
INSERT INTO clusters_observation AS o
       (cluster_id, run, name, birth, version, state, incarnation, address, reason, message, exit_code, stages,
        drain, seen_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, clock_timestamp())
ON CONFLICT (cluster_id, run, name, birth) DO UPDATE
   SET version = excluded.version, state = excluded.state, incarnation = excluded.incarnation,
       address = excluded.address, reason = excluded.reason, message = excluded.message,
       exit_code = excluded.exit_code, stages = excluded.stages, drain = excluded.drain, seen_at = excluded.seen_at
 WHERE o.version < excluded.version
RETURNING 1
"""


def sights_of(cluster_id: UUID) -> Iterator[ObservedNode]:
    """The last sight of each birth that is not gone."""
    for row in Observation.objects.filter(cluster_id=cluster_id).exclude(state=NodeState.GONE):
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


def notice(sight: ObservedNode) -> bool:
    """Take in one transition and wake its cluster; whether it was news."""
    with transaction.atomic():
        cluster = Cluster.objects.filter(id=sight.cluster_id).only("id", "tenant_id").first()
        if cluster is None or not _see(sight):
            return False
        _tell(sight)
        wake(Kind.CLUSTER, cluster.id, tenant_id=cluster.tenant_id, after=COALESCE_SECONDS)
    return True


def replace_all(cluster_id: UUID, observed: Observed) -> bool:
    """Take in a fresh and complete answer: what it does not name is gone. Returns whether anything was news."""
    named = {(sight.run, sight.name, sight.birth) for sight in observed.nodes}
    news = [sight for sight in observed.nodes if _see(sight)]
    for sight in news:
        _tell(sight)
    rows = Observation.objects.filter(cluster_id=cluster_id)
    gone = [
        row.id
        for row in rows.only("id", "run", "name", "birth")
        if (row.run, row.name, row.birth) not in named
    ]
    if gone:
        rows.filter(id__in=gone).delete()
    return bool(news or gone)


def _see(sight: ObservedNode) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            _SEE,
            [
                sight.cluster_id,
                sight.run,
                sight.name,
                sight.birth,
                sight.version,
                sight.state,
                sight.incarnation,
                sight.address,
                sight.reason[:64],
                sight.message[:MESSAGE_LENGTH],
                sight.exit_code,
                json.dumps({stage: at.isoformat() for stage, at in sight.stages.items()}),
                json.dumps(asdict(sight.drain)) if sight.drain else None,
            ],
        )
        return cursor.fetchone() is not None


EVENTS = {
    NodeState.READY: "NODE_READY",
    NodeState.UNREADY: "NODE_UNREADY",
    NodeState.ENDED: "NODE_ENDED",
    NodeState.DRAINED: "NODE_DRAINED",
}


def _tell(sight: ObservedNode) -> None:
    if sight.state in EVENTS:
        Event.objects.create(
            cluster_id=sight.cluster_id,
            kind=EVENTS[sight.state],
            node=sight.name,
            message=sight.message[:1000],
        )


def forget_cluster(cluster_id: UUID) -> None:
    Observation.objects.filter(cluster_id=cluster_id).delete()
