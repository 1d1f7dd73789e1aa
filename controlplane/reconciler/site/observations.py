"""The last observation of each attempt, stored so that passes read rows in place of asking sites."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from uuid import UUID

from django.db import transaction

from controlplane.clusters.models import Observation
from controlplane.clusters.queries.instances import rows
from controlplane.provisioners.base import (
    ClusterObservation,
    DrainOutcome,
    DrainReport,
    NodeObservation,
    NodeState,
)
from controlplane.reconciler.site.queries import (
    EVENTS,
    drop_unnamed_observations,
    store_observations,
    wake_observed,
)
from controlplane.work.announce import announce

# Observations of one cluster come in bursts. The first of them waits this long for the rest.
COALESCE_SECONDS = 0.03
# Nodes that only start give a pass nothing to do but to show progress. A node that is ready sooner saves that pass.
STARTING_SECONDS = 1.0


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


def add_observations(*observations: NodeObservation) -> int:
    """Store transitions in their order, and wake their clusters. Returns the number of clusters with news."""
    clusters: set[UUID] = set()
    for batch in _batches(observations):
        with transaction.atomic():
            news = store_observations(batch)
            if news:
                wake_observed(news, starting_after=STARTING_SECONDS, after=COALESCE_SECONDS)
                announce()
        clusters.update(news)
    return len(clusters)


def replace_observations(
    answers: Mapping[UUID, ClusterObservation], *, before: datetime | None = None
) -> set[UUID]:
    """Store fresh and complete answers about clusters: attempts that an answer does not name are gone.

    before: when the answers were requested, if others may have stored observations since. Returns the clusters with
    news.
    """
    nodes = [node for cluster in sorted(answers) for node in answers[cluster].nodes]
    news = set(store_observations(nodes))
    return news | drop_unnamed_observations(answers, nodes, before)


def _batches(observations: Iterable[NodeObservation]) -> Iterator[list[NodeObservation]]:
    """Group the observations so that one statement writes each row once. No transition that is an event is lost."""
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
