"""A burst of observations is stored with a fixed number of statements, loses no event and wakes once."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from django.db import connection

from controlplane.clusters.models import Cluster, Event, Observation
from controlplane.provisioners.base import NodeObservation, NodeState, SiteUnknown
from controlplane.provisioners.fake import FakeProvisioner
from controlplane.reconciler.site import watches
from controlplane.reconciler.site.observations import COALESCE_SECONDS, STARTING_SECONDS, add_observations
from controlplane.reconciler.site.watches import Watch
from controlplane.work.models import Kind, Work
from tenants.ids import new_id
from tests.reconciler.conftest import World
from tests.reconciler.settling import settle
from tests.work.table import eventually


@pytest.fixture
def cluster(world: World) -> Cluster:
    return settle(world.launch())


def observation(
    cluster: Cluster, name: str, version: int, state: NodeState = NodeState.READY
) -> NodeObservation:
    return NodeObservation(cluster.id, cluster.run, name, 1, 10**9 + version, state)


def event_kinds(cluster: Cluster, node: str) -> list[str]:
    return list(
        Event.objects.filter(cluster=cluster, node=node).order_by("id").values_list("kind", flat=True)
    )


def names(cluster: Cluster) -> list[str]:
    return sorted(cluster.nodes.values_list("name", flat=True))


def due_in(cluster: Cluster) -> float:
    """Seconds until the work item is due."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM due_at - clock_timestamp())::float8 FROM work_work WHERE key = %s",
            [cluster.id],
        )
        return float(cursor.fetchone()[0])


def test_a_burst_keeps_the_last_observation_and_every_event(cluster: Cluster) -> None:
    node = names(cluster)[0]
    before = event_kinds(cluster, node)
    states = (NodeState.UNREADY, NodeState.READY, NodeState.STARTING, NodeState.UNREADY)
    assert add_observations(*(observation(cluster, node, at, state) for at, state in enumerate(states))) == 1
    assert event_kinds(cluster, node)[len(before) :] == ["NODE_UNREADY", "NODE_READY", "NODE_UNREADY"]
    assert Observation.objects.get(cluster_id=cluster.id, name=node).state == "unready"


def test_a_burst_is_a_fixed_number_of_statements(cluster: Cluster, django_assert_num_queries: object) -> None:
    burst = [observation(cluster, name, at, NodeState.STARTING) for at in range(9) for name in names(cluster)]
    # The queries: a savepoint and its end, the rows, the wake, the notification.
    with django_assert_num_queries(5):  # type: ignore[operator]
        add_observations(*burst)


def test_an_old_observation_or_one_of_an_unknown_cluster_is_ignored(cluster: Cluster) -> None:
    node = names(cluster)[0]
    assert add_observations(observation(cluster, node, 2), observation(cluster, node, 1)) == 1
    assert add_observations(observation(cluster, node, 2)) == 0
    assert add_observations(replace(observation(cluster, node, 3), cluster_id=new_id())) == 0


def test_the_readiness_of_the_last_node_is_stored_at_once(cluster: Cluster) -> None:
    first, *others = names(cluster)
    add_observations(*(observation(cluster, name, 1, NodeState.STARTING) for name in names(cluster)))
    Work.objects.filter(key=cluster.id).update(due_at=None)
    add_observations(*(observation(cluster, name, 2) for name in others))
    assert 0 < due_in(cluster) <= COALESCE_SECONDS
    add_observations(observation(cluster, first, 2))
    assert due_in(cluster) <= 0


def test_observations_of_starting_nodes_wait_for_the_next_batch(cluster: Cluster) -> None:
    Work.objects.filter(key=cluster.id).update(due_at=None)
    add_observations(observation(cluster, names(cluster)[0], 1, NodeState.STARTING))
    assert COALESCE_SECONDS < due_in(cluster) <= STARTING_SECONDS


def test_a_starting_node_that_reports_a_problem_is_handled_soon(cluster: Cluster) -> None:
    Work.objects.filter(key=cluster.id).update(due_at=None)
    late = replace(observation(cluster, names(cluster)[0], 1, NodeState.WAITING), reason="UNSCHEDULABLE")
    add_observations(late)
    assert due_in(cluster) <= COALESCE_SECONDS


def test_observations_of_starting_nodes_are_written_with_the_next_ones(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    monkeypatch.setattr(watches, "BATCH_SECONDS", 30.0)
    monkeypatch.setattr(watches, "add_observations", lambda *observations: written.append(len(observations)))
    with watches._Writer("fake") as writer:
        writer.put(observation(cluster, "hand-0", 1, NodeState.STARTING))
        assert eventually(writer._queue.empty)
        writer.put(observation(cluster, "hand-1", 1, NodeState.WAITING))
        writer.put(observation(cluster, "hand-0", 2))
    assert written == [3]


def test_a_watch_that_cannot_write_starts_again(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    class CountsListeners(FakeProvisioner):
        """Yields events without end and counts its listeners."""

        listeners = 0

        def events(self) -> Iterator[NodeObservation | None]:
            self.listeners += 1
            again.set() if self.listeners > 1 else None
            while True:
                yield observation(cluster, "head-0", self.listeners)

    def away(*_: object, **__: object) -> None:
        raise ConnectionError("the database is away")

    again, provisioner = threading.Event(), CountsListeners()
    monkeypatch.setattr(watches, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(watches, "add_observations", away)
    monkeypatch.setattr(watches, "wake", lambda *_: None)
    watch = Watch(cluster.site, provisioner)
    watch.start()
    assert again.wait(10)
    watch.stop()
    watch.thread.join(10)
    assert not watch.thread.is_alive()


def test_a_site_whose_watch_broke_off_is_checked_at_once(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    class BreaksOff(FakeProvisioner):
        """Its first stream of events yields once and fails; all later ones fail at once."""

        def events(self) -> Iterator[NodeObservation | None]:
            if not woken:
                yield None
            raise SiteUnknown("SITE_UNREACHABLE", "the connection was refused")

    woken: list[tuple[object, ...]] = []
    tried_again = threading.Event()

    def broken(*_: object, **__: object) -> None:
        tried_again.set() if len(woken) > 1 else None

    monkeypatch.setattr(watches, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(watches, "wake", lambda *key: woken.append(key))
    monkeypatch.setattr(watches, "close_old_connections", broken)
    watch = Watch(cluster.site, BreaksOff())
    watch.start()
    assert tried_again.wait(10)
    watch.stop()
    watch.thread.join(10)
    # One wake for the connection and one for its loss; failed attempts to reconnect wake nothing.
    assert woken == [(Kind.SITE, cluster.site_id)] * 2
