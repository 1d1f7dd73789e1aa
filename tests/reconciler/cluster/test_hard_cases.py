"""Output of nodes, states of tenants and half-done changes do not confuse the reconciler."""

from dataclasses import replace

from controlplane.clusters.models import Cluster, NodeLog, Operation
from controlplane.clusters.services import cluster_delete, cluster_resize, operation_cancel
from controlplane.provisioners.base import NodeState, TenantMissing
from controlplane.reconciler.site.inventory import compare
from tenants.access import tenant_for
from tenants.actors import actor_for
from tenants.services import tenant_resume, tenant_suspend
from tests.reconciler.conftest import World
from tests.reconciler.settling import later, one_pass, settle, site


def last(cluster: Cluster) -> Operation:
    return cluster.operations.order_by("-id")[0]


def suspend(world: World) -> None:
    tenant_suspend(access=tenant_for(actor_for(world.people.root), "acme"))


def resume(world: World) -> None:
    tenant_resume(access=tenant_for(actor_for(world.people.root), "acme"))


def test_no_output_of_a_node_blocks_the_deletion_of_its_cluster(world: World) -> None:
    cluster = settle(world.launch())
    site(cluster).end_node(cluster.id, "hand-1", message="bang\0 \ud800")
    settle(cluster)
    cluster_delete(access=world.bob, cluster="one")
    assert settle(cluster).phase == "deleted"


def test_a_listing_continues_after_a_cluster_that_cannot_be_compared(world: World) -> None:
    broken, other = settle(world.launch("one")), settle(world.launch("two"))
    fake = site(other)
    for cluster, changes in ((broken, {"run": 10**12}), (other, {"state": NodeState.UNREADY})):
        key, observation = next(
            (k, s) for k, s in fake._clusters[cluster.id].nodes.items() if s.name == "hand-0"
        )
        fake._clusters[cluster.id].nodes[key] = replace(
            observation, version=observation.version + 1, **changes
        )
    compare(other.site, fake)
    assert other.events.filter(kind="NODE_UNREADY", node="hand-0").exists()
    # Its remains at the site are unknown, so it does not settle.
    assert Cluster.objects.get(id=broken.id).observed_at is None


def test_a_node_that_dies_again_and_again_waits_longer_each_time(world: World) -> None:
    cluster = settle(world.launch())
    for _ in range(3):
        site(cluster).end_node(cluster.id, "hand-1")
        for _ in range(2):
            for _ in range(5):
                one_pass(news=site(cluster))
            later(5)
    node = cluster.nodes.get(name="hand-1")
    assert node.failures == 3
    logs = NodeLog.objects.filter(cluster=cluster, name="hand-1")
    assert set(logs.values_list("attempt", flat=True)) == {1, 2, 3}


def test_a_cancelled_resize_rests_ready_and_degraded(world: World) -> None:
    cluster = settle(world.launch())
    site(cluster).unready = {"hand-2"}
    cluster_resize(access=world.bob, cluster="one", groups={"hand": {"count": 3}})
    settle(cluster)
    operation_cancel(access=world.bob, operation=last(cluster).id)
    cluster = settle(cluster)
    assert (cluster.phase, cluster.observed_generation) == ("ready", cluster.generation)


def test_a_create_interrupted_by_a_suspension_did_not_succeed(world: World) -> None:
    cluster = world.launch()
    suspend(world)
    cluster = settle(cluster)
    assert cluster.phase == "stopped"
    assert (last(cluster).state, last(cluster).reason) == ("cancelled", "TENANT_SUSPENDED")


def test_a_cluster_resumed_after_a_suspension_has_an_operation_with_an_end(world: World) -> None:
    cluster = settle(world.launch())
    suspend(world)
    settle(cluster)
    site(cluster).unready = {"hand-1"}
    resume(world)
    settle(cluster)
    assert (last(cluster).kind, last(cluster).actor, last(cluster).state) == ("start", "system", "running")
    later(3600)
    assert settle(cluster).phase == "failed"


def test_objects_of_a_tenant_that_were_deleted_on_a_site_are_made_again(world: World) -> None:
    cluster = world.launch()
    fake, taken = site(cluster), [True]

    def lose(name: str) -> None:
        if name == "apply" and taken:
            taken.clear()
            raise TenantMissing("NAMESPACE_GOING", "somebody deleted it")

    fake.before_call = lose
    assert settle(cluster).phase == "ready"
    assert fake.calls["ensure_tenant"] == 2
