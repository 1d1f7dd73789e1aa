"""A cancelled operation begins a new generation."""

import pytest

from controlplane.clusters.models import Cluster, Operation
from controlplane.clusters.services import cluster_resize, cluster_stop, operation_cancel
from tenants.errors import Conflict
from tests.reconciler.conftest import World
from tests.reconciler.settling import one_pass, settle, site


def live(cluster: Cluster) -> Operation:
    return cluster.operations.order_by("-id")[0]


def test_a_cancelled_create_becomes_a_stop(world: World) -> None:
    cluster = world.launch()
    cancelled = operation_cancel(access=world.bob, operation=live(cluster).id)
    assert (cancelled.state, cancelled.reason) == ("cancelled", "CANCELLED")
    cluster.refresh_from_db()
    assert (cluster.goal, cluster.generation) == ("stopped", 2)


def test_a_cancelled_resize_keeps_the_nodes_that_exist(world: World) -> None:
    cluster = settle(world.launch())
    site(cluster).unready = {"hand-2", "hand-3"}
    cluster_resize(access=world.bob, cluster="one", groups={"hand": {"count": 4}})
    one_pass()
    one_pass(news=site(cluster))
    operation_cancel(access=world.bob, operation=live(cluster).id)
    site(cluster).get_ready(cluster.id)
    cluster = settle(cluster)
    assert (cluster.phase, cluster.goal, cluster.generation) == ("ready", "running", 3)
    assert cluster.nodes.filter(group="hand").count() == 4


def test_cancelling_twice_answers_with_the_same_operation(world: World) -> None:
    cluster = world.launch()
    operation = live(cluster).id
    operation_cancel(access=world.bob, operation=operation)
    assert operation_cancel(access=world.bob, operation=operation).state == "cancelled"
    cluster.refresh_from_db()
    assert cluster.generation == 2


def test_a_stop_cannot_be_cancelled(world: World) -> None:
    cluster = settle(world.launch())
    cluster_stop(access=world.bob, cluster="one")
    with pytest.raises(Conflict, match="WRONG_PHASE"):
        operation_cancel(access=world.bob, operation=live(cluster).id)


def test_an_ended_operation_cannot_be_cancelled(world: World) -> None:
    cluster = settle(world.launch())
    with pytest.raises(Conflict, match="WRONG_PHASE"):
        operation_cancel(access=world.bob, operation=live(cluster).id)
