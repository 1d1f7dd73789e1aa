"""The listing of a site replaces lost events, and lets clusters settle without calls of their own."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from controlplane.clusters.models import Cluster, Observation
from controlplane.clusters.services import cluster_delete
from controlplane.clusters.services.sites import site_remove
from controlplane.provisioners.base import (
    ClusterObservation,
    DriftedTenant,
    FoundCluster,
    NodeState,
    NotYet,
    Temporary,
)
from controlplane.provisioners.fake import FakeProvisioner
from controlplane.reconciler.site import inventory
from controlplane.reconciler.site.inventory import compare
from controlplane.reconciler.site.observations import replace_observations
from controlplane.work.models import Kind, Work
from controlplane.work.wake import wake
from tests.reconciler.conftest import World
from tests.reconciler.settling import later, reload, settle, site

# Seconds. QUIET: no late write is possible any more. OVERDUE: a cluster that was not listed observes itself.
QUIET, OVERDUE = 100, 400


def listed(cluster: Cluster) -> int:
    return compare(reload(cluster.id).site, site(cluster))


def looks(cluster: Cluster) -> int:
    return site(cluster).calls["look"]


def is_at_rest(cluster: Cluster) -> bool:
    return Work.objects.get(key=cluster.id).due_at is None


def rested(world: World, name: str = "one") -> Cluster:
    cluster = settle(world.launch(name))
    later(QUIET)
    listed(cluster)
    later(OVERDUE)
    return settle(cluster)


class BreaksOff(FakeProvisioner):
    def __init__(self, found: FakeProvisioner) -> None:
        super().__init__()
        self._clusters = found._clusters

    def list_all(self) -> Iterator[FoundCluster | DriftedTenant]:
        yield from super().list_all()
        raise NotYet("SITE_FORBIDS", "one namespace could not be read")


def test_a_listed_cluster_settles_without_an_observation_of_its_own(world: World) -> None:
    cluster = rested(world)
    assert (looks(cluster), is_at_rest(cluster)) == (0, True)


def test_a_cluster_without_a_listing_is_observed_by_its_own_pass(world: World) -> None:
    cluster = settle(world.launch())
    later(QUIET)
    assert (looks(settle(cluster)), is_at_rest(cluster)) == (0, False)
    later(OVERDUE)
    assert (looks(settle(cluster)), is_at_rest(cluster)) == (1, True)


def test_a_listing_before_a_possible_late_write_settles_no_cluster(world: World) -> None:
    cluster = settle(world.launch())
    listed(cluster)
    later(OVERDUE)
    assert looks(settle(cluster)) == 1


def test_an_incomplete_listing_settles_no_cluster_but_its_observations_are_stored(world: World) -> None:
    cluster = settle(world.launch())
    later(QUIET)
    key, observation = next(iter(site(cluster)._clusters[cluster.id].nodes.items()))
    unready = replace(observation, version=observation.version + 1, state=NodeState.UNREADY)
    site(cluster)._clusters[cluster.id].nodes[key] = unready
    before = reload(cluster.id)
    with pytest.raises(Temporary):
        compare(before.site, BreaksOff(site(cluster)))
    assert cluster.events.filter(kind="NODE_UNREADY").exists()
    assert reload(cluster.id).observed_at == before.observed_at


def test_a_node_that_ended_without_an_event_is_noticed(world: World) -> None:
    cluster = rested(world)
    nodes = site(cluster)._clusters[cluster.id].nodes
    del nodes[next(key for key in nodes if key[1] == "hand-1")]
    assert listed(cluster) == 1
    assert settle(cluster).nodes.get(name="hand-1").attempt == 2


def test_a_cluster_that_vanished_as_a_whole_is_noticed(world: World) -> None:
    cluster = rested(world)
    del site(cluster)._clusters[cluster.id]
    assert listed(cluster) == 1
    cluster = settle(cluster)
    assert {node.attempt for node in cluster.nodes.all()} == {2}


def test_a_foreign_folder_is_no_volume(world: World) -> None:
    cluster = rested(world)
    site(cluster)._clusters[cluster.id].volumes.add("my-data-1")
    before = looks(cluster)
    listed(cluster)
    settle(cluster)
    assert looks(cluster) == before


def test_a_listing_that_began_before_an_observation_is_ignored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = rested(world)
    monkeypatch.setattr(inventory, "database_now", lambda: reload(cluster.id).observed_at)
    site(cluster)._clusters[cluster.id].volumes.add("hand-7")
    assert listed(cluster) == 0


def test_an_observation_from_before_a_doubt_does_not_settle_it(world: World) -> None:
    cluster, first = rested(world), [True]

    def doubt(name: str) -> None:
        if name == "look" and first:
            first.clear()
            Cluster.objects.filter(id=cluster.id).update(observed_at=None, revision=F("revision") + 1)

    site(cluster).after_call = doubt
    Cluster.objects.filter(id=cluster.id).update(observed_at=None, revision=F("revision") + 1)
    wake(Kind.CLUSTER, cluster.id)
    assert looks(settle(cluster)) == 2


def test_a_listed_cluster_that_waits_long_needs_no_observation(world: World) -> None:
    cluster = world.launch()
    site(cluster).unready = {"hand-1"}
    settle(cluster)
    for _ in range(8):
        later(100)
        listed(cluster)
    before = looks(cluster)
    for _ in range(8):
        later(100)
        listed(cluster)
        settle(cluster)
    assert (reload(cluster.id).phase, looks(cluster)) == ("starting", before)


def test_a_tombstone_on_a_removed_site_causes_no_call(world: World) -> None:
    cluster = settle(world.launch())
    cluster_delete(access=world.bob, cluster="one")
    settle(cluster)
    before = looks(cluster)
    site_remove(name="fake")
    later(OVERDUE)
    settle(cluster)
    assert (looks(cluster), is_at_rest(cluster)) == (before, True)


def test_an_orphaned_volume_is_removed(world: World) -> None:
    cluster = rested(world)
    volumes = site(cluster)._clusters[cluster.id].volumes
    volumes.add("hand-7")
    listed(cluster)
    settle(cluster)
    assert site(cluster)._clusters[cluster.id].volumes == {"head-0", "hand-0", "hand-1"}


def test_an_object_that_appears_for_a_deleted_cluster_is_removed(world: World) -> None:
    cluster = settle(world.launch())
    found = site(cluster)._clusters[cluster.id]
    nodes = dict(found.nodes)
    cluster_delete(access=world.bob, cluster="one")
    settle(cluster)
    later(QUIET)
    listed(cluster)
    later(OVERDUE)
    assert is_at_rest(settle(cluster))
    site(cluster)._clusters[cluster.id] = found
    found.nodes.update(nodes)
    listed(cluster)
    settle(cluster)
    assert cluster.id not in site(cluster)._clusters


def test_a_listing_without_changes_writes_nothing(world: World, django_assert_num_queries: object) -> None:
    cluster, _ = (rested(world, name) for name in ("one", "two"))
    before, listed_site = (
        list(Observation.objects.order_by("id").values_list("id", "observed_at")),
        cluster.site,
    )
    # The queries: the time; clusters and their nodes; a savepoint and its end; stored and deleted observations;
    # missing and settled clusters.
    with django_assert_num_queries(9):  # type: ignore[operator]
        assert compare(listed_site, site(cluster)) == 0
    assert list(Observation.objects.order_by("id").values_list("id", "observed_at")) == before


def test_an_observation_that_arrived_during_the_listing_stays(world: World) -> None:
    cluster = rested(world)
    before = timezone.now() - timedelta(seconds=1)
    Observation.objects.filter(cluster_id=cluster.id, name="hand-1").update(observed_at=timezone.now())
    Observation.objects.filter(cluster_id=cluster.id, name="hand-0").update(
        observed_at=before - timedelta(seconds=1)
    )
    assert replace_observations({cluster.id: ClusterObservation(exists=True)}, before=before) == {cluster.id}
    left = set(Observation.objects.filter(cluster_id=cluster.id).values_list("name", flat=True))
    assert "hand-1" in left
    assert "hand-0" not in left


def test_every_write_of_a_listing_makes_a_new_revision(world: World) -> None:
    cluster = settle(world.launch())
    later(QUIET)
    before = reload(cluster.id)
    compare(cluster.site, site(cluster))
    after = reload(cluster.id)
    assert after.observed_at != before.observed_at
    assert after.revision == before.revision + 1
