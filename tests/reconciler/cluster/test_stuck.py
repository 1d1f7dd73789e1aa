"""A node does not end: the cluster names the cause, and a site admin may release it."""

import pytest

from controlplane.clusters.models import Cluster
from controlplane.clusters.services import cluster_delete, cluster_release, cluster_start, cluster_stop
from tenants.access import tenant_for
from tenants.actors import actor_for
from tenants.errors import Conflict, NeedsRole
from tenants.models import AuditEvent, Claim
from tests.reconciler.conftest import World
from tests.reconciler.settling import later, settle, site

WHY = "hand-1 is held by the finalizer example.com/hold: its owner has to remove that"


def held(world: World) -> Cluster:
    """A ready cluster whose node does not end."""
    cluster = settle(world.launch())
    site(cluster).stuck[cluster.id] = WHY
    return cluster


def waited(cluster: Cluster) -> Cluster:
    """The cluster after two passes, with 11 s between them."""
    settle(cluster)
    later(11)
    return settle(cluster)


@pytest.mark.parametrize("force", [False, True])
def test_a_blocked_stop_names_its_cause(world: World, force: bool) -> None:
    cluster = held(world)
    cluster_stop(access=world.bob, cluster="one", force=force)
    cluster = waited(cluster)
    assert (cluster.phase, cluster.reason) == ("stopping", "STUCK")
    assert WHY in cluster.message


def test_a_start_during_a_blocked_stop_names_what_it_waits_for(world: World) -> None:
    cluster = held(world)
    cluster_stop(access=world.bob, cluster="one")
    waited(cluster)
    with pytest.raises(Conflict, match="cannot be cancelled") as refusal:
        cluster_start(access=world.bob, cluster="one")
    assert WHY in refusal.value.detail


def test_the_message_disappears_when_the_node_ends(world: World) -> None:
    cluster = held(world)
    cluster_stop(access=world.bob, cluster="one")
    waited(cluster)
    del site(cluster).stuck[cluster.id]
    later(11)
    cluster = settle(cluster)
    assert (cluster.phase, cluster.reason) == ("stopped", "")


def test_a_released_cluster_frees_its_name_and_its_claim(world: World) -> None:
    cluster = held(world)
    cluster_delete(access=world.bob, cluster="one")
    assert waited(cluster).reason == "STUCK"
    root = tenant_for(actor_for(world.people.root), "acme")
    cluster_release(access=root, cluster="one")
    cluster = settle(cluster)
    assert (cluster.phase, cluster.reason) == ("deleted", "RELEASED")
    assert WHY in cluster.message
    assert not Claim.objects.filter(owner_id=cluster.id).exists()
    assert AuditEvent.objects.get(verb="cluster.release").detail["left"].startswith(WHY)
    assert world.launch("one").id != cluster.id


def test_nodes_left_by_a_release_are_removed_once_possible(world: World) -> None:
    cluster = held(world)
    cluster_delete(access=world.bob, cluster="one")
    waited(cluster)
    cluster_release(access=tenant_for(actor_for(world.people.root), "acme"), cluster="one")
    settle(cluster)
    assert cluster.id in site(cluster)._clusters
    del site(cluster).stuck[cluster.id]
    later(600)
    cluster = settle(cluster)
    assert cluster.id not in site(cluster)._clusters
    assert cluster.reason == "RELEASED"


def test_only_what_is_being_deleted_can_be_released_and_only_by_a_site_admin(world: World) -> None:
    held(world)
    with pytest.raises(Conflict, match="being deleted"):
        cluster_release(access=tenant_for(actor_for(world.people.root), "acme"), cluster="one")
    cluster_delete(access=world.bob, cluster="one")
    with pytest.raises(NeedsRole):
        cluster_release(access=world.alice, cluster="one")
