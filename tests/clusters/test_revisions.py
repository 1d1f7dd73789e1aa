"""Every write of a cluster is a new revision, so that a worker that has read an older one writes nothing."""

from collections.abc import Callable

import pytest
from django.utils import timezone

from controlplane.clusters.models import Cluster
from controlplane.clusters.services import (
    cluster_configure,
    cluster_delete,
    cluster_release,
    cluster_resize,
    cluster_stop,
    operation_cancel,
)
from controlplane.provisioners.base import ClusterObservation, Drift, DriftKind, FoundCluster
from controlplane.reconciler.site.drift import cluster_drifted
from tenants.access import tenant_for
from tenants.actors import actor_for
from tenants.services import member_remove
from tests.reconciler.conftest import World
from tests.reconciler.settling import later, reload, settle

Write = Callable[[World, Cluster], object]


def stop(world: World, *, force: bool = False) -> None:
    cluster_stop(access=world.bob, cluster="one", force=force)


def stopped(world: World, cluster: Cluster) -> None:
    stop(world)
    settle(cluster)


def grow(world: World) -> None:
    cluster_resize(access=world.bob, cluster="one", groups={"hand": {"count": 3}})


def cancel(world: World, cluster: Cluster) -> None:
    operation_cancel(access=world.bob, operation=cluster.operations.order_by("-id")[0].id)


def release(world: World) -> None:
    cluster_release(access=tenant_for(actor_for(world.people.root), "acme"), cluster="one")


def drift(cluster: Cluster) -> None:
    later(60)
    found = (Drift("NetworkPolicy", "c-1-r1", DriftKind.DELETED),)
    listed = FoundCluster(cluster.id, cluster.tenant_id, ClusterObservation(exists=True), found, cluster.run)
    assert cluster_drifted(cluster.site, listed, before=timezone.now())


# Name -> (preparation, write).
WRITES: dict[str, tuple[Write, Write]] = {
    "stop": (lambda world, cluster: None, lambda world, cluster: stop(world)),
    "force": (lambda world, cluster: stop(world), lambda world, cluster: stop(world, force=True)),
    "resize": (lambda world, cluster: None, lambda world, cluster: grow(world)),
    "cancel": (lambda world, cluster: grow(world), cancel),
    "configure": (
        stopped,
        lambda world, cluster: cluster_configure(
            access=world.bob, cluster="one", changes={"groups": {"hand": {"count": 3}}}
        ),
    ),
    "release": (
        lambda world, cluster: cluster_delete(access=world.bob, cluster="one"),
        lambda world, cluster: release(world),
    ),
    "replace links": (
        lambda world, cluster: None,
        lambda world, cluster: member_remove(access=world.alice, username="bob"),
    ),
    "note drift": (lambda world, cluster: None, lambda world, cluster: drift(cluster)),
}


@pytest.mark.parametrize("case", WRITES)
def test_a_write_from_outside_a_pass_makes_a_new_revision(world: World, case: str) -> None:
    cluster = settle(world.launch())
    before, write = WRITES[case]
    before(world, cluster)
    known = reload(cluster.id).revision
    write(world, cluster)
    assert reload(cluster.id).revision > known
