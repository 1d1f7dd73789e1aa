"""Volumes are deleted with nodes that a resize removes, and a lost volume is noticed."""

from controlplane.clusters.models import Cluster
from controlplane.clusters.services import cluster_create, cluster_resize, cluster_start, cluster_stop
from controlplane.clusters.services.create import ClusterRequest
from controlplane.provisioners.base import Load, SiteUnknown
from tenants.models import Claim
from tests.reconciler.conftest import World
from tests.reconciler.settling import later, one_pass, settle, site


def volumes(cluster: Cluster) -> set[str]:
    return site(cluster)._clusters[cluster.id].volumes


def held(cluster: Cluster) -> int:
    """The storage that the cluster claims, in GiB."""
    return Claim.objects.get(owner_id=cluster.id).amounts.storage // 2**30


def test_a_shrink_deletes_the_volumes_of_removed_nodes(world: World) -> None:
    cluster = settle(world.launch(hand=3))
    assert volumes(cluster) == {"head-0", "hand-0", "hand-1", "hand-2"}
    cluster_resize(access=world.bob, cluster="one", groups={"hand": {"count": 1}})
    settle(cluster)
    assert volumes(cluster) == {"head-0", "hand-0"}


def test_the_volume_of_a_removed_node_that_had_ended_is_deleted_too(world: World) -> None:
    cluster = settle(world.launch())
    fake, first = site(cluster), [True]

    def vanish(name: str) -> None:
        if name == "apply" and first.pop():
            found = fake._clusters[cluster.id]
            fake._drop(cluster.id, found, next(key for key in found.nodes if key[1] == "hand-1"))
            first.append(False)
            raise SiteUnknown("SITE_UNREACHABLE", "the call was lost")

    fake.before_call = vanish
    cluster_resize(access=world.bob, cluster="one", groups={"hand": {"count": 1}})
    settle(cluster)
    later(60)
    settle(cluster)
    assert volumes(cluster) == {"head-0", "hand-0"}


def test_a_stop_during_a_shrink_holds_no_deleted_volume(world: World) -> None:
    request = ClusterRequest("pair", {"hand": {"count": 3, "storage": "1Gi"}}, {})
    cluster = settle(cluster_create(access=world.bob, name="one", request=request))
    cluster_resize(access=world.bob, cluster="one", groups={"hand": {"count": 1}})
    while volumes(cluster) > {"head-0", "hand-0"}:
        assert one_pass(news=site(cluster))
    cluster_stop(access=world.bob, cluster="one")
    assert held(settle(cluster)) == 2


def test_a_node_that_waits_for_its_next_attempt_keeps_its_volume(world: World) -> None:
    cluster = settle(world.launch())
    for _ in range(2):
        site(cluster).end_node(cluster.id, "hand-1")
        for _ in range(8):
            one_pass(news=site(cluster))
    assert cluster.nodes.get(name="hand-1").retry_at
    assert volumes(cluster) == {"head-0", "hand-0", "hand-1"}


def test_a_stopped_cluster_keeps_all_volumes_until_a_smaller_start(world: World) -> None:
    cluster = settle(world.launch())
    cluster_stop(access=world.bob, cluster="one")
    settle(cluster)
    cluster_resize(access=world.bob, cluster="one", groups={"hand": {"count": 1}})
    assert volumes(settle(cluster)) == {"head-0", "hand-0", "hand-1"}
    cluster_start(access=world.bob, cluster="one")
    assert volumes(settle(cluster)) == {"head-0", "hand-0"}


def test_storage_is_claimed_while_its_volumes_exist(world: World) -> None:
    request = ClusterRequest("pair", {"hand": {"storage": "1Gi"}}, {})
    cluster = settle(cluster_create(access=world.bob, name="one", request=request))
    cluster_stop(access=world.bob, cluster="one")
    assert held(settle(cluster)) == 3
    for count, storage in ((1, 3), (4, 5), (1, 3)):
        cluster_resize(access=world.bob, cluster="one", groups={"hand": {"count": count}})
        assert held(settle(cluster)) == storage
    cluster_start(access=world.bob, cluster="one")
    assert held(cluster) == 3
    assert held(settle(cluster)) == 2


def restarted(world: World, cluster: Cluster) -> Cluster:
    """Stop the cluster, lose its volumes and start it again."""
    cluster_stop(access=world.bob, cluster="one")
    settle(cluster)
    later(60)
    site(cluster).data_lost = True
    cluster_start(access=world.bob, cluster="one")
    return settle(cluster)


def test_a_lost_volume_is_noticed_even_if_the_cluster_was_never_ready(world: World) -> None:
    cluster = world.launch()
    site(cluster).unready = {"hand-1"}
    assert settle(cluster).ready_at is None
    cluster = restarted(world, cluster)
    assert (cluster.phase, cluster.reason) == ("failed", "STORAGE_LOST")


def test_without_a_node_that_was_ready_no_volume_counts_as_lost(world: World) -> None:
    cluster = world.launch()
    site(cluster).unready = {"head-0", "hand-0", "hand-1"}
    assert settle(cluster).ready_at is None
    site(cluster).unready.clear()
    assert restarted(world, cluster).phase == "ready"


def test_the_node_that_a_shrink_kept_is_started_again(world: World) -> None:
    """It need not have the lowest index: its volume is the one with data."""
    cluster = settle(world.launch(hand=3))
    site(cluster).loads = {"hand-2": Load(busy=True), "hand-0": Load(busy=False), "hand-1": Load(busy=False)}
    cluster_resize(access=world.bob, cluster="one", groups={"hand": {"count": 1}})
    settle(cluster)
    cluster_stop(access=world.bob, cluster="one")
    settle(cluster)
    cluster_start(access=world.bob, cluster="one")
    cluster = settle(cluster)
    assert cluster.phase == "ready"
    assert {node.name for node in cluster.nodes.all()} == volumes(cluster) == {"head-0", "hand-2"}


def test_a_stop_during_a_shrink_keeps_the_volumes_of_staying_nodes(world: World) -> None:
    cluster = settle(world.launch(hand=3))
    fake = site(cluster)
    fake.loads = {"hand-0": Load(busy=False), "hand-1": Load(busy=False), "hand-2": Load(busy=True)}

    def refuse(name: str) -> None:
        if name == "begin_drain":
            raise SiteUnknown("SITE_UNREACHABLE", "the site is away")

    fake.before_call = refuse
    cluster_resize(access=world.bob, cluster="one", groups={"hand": {"count": 1}})
    assert one_pass(news=fake)
    assert cluster.nodes.filter(leaving=True).count() == 2
    cluster_stop(access=world.bob, cluster="one")
    settle(cluster)
    cluster_start(access=world.bob, cluster="one")
    cluster = settle(cluster)
    assert {node.name for node in cluster.nodes.all()} == volumes(cluster) == {"head-0", "hand-2"}
