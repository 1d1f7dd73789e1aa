"""Launches for which a site lacks capacity, now or always."""

from typing import Any

import pytest

from controlplane.clusters.models import Cluster, Site
from controlplane.clusters.services import (
    cluster_create,
    cluster_create_plan,
    cluster_resize,
    cluster_start,
    cluster_stop,
)
from controlplane.clusters.services.create import ClusterRequest
from controlplane.console.tiles import tiles
from controlplane.provisioners.fake import FakeProvisioner
from controlplane.provisioners.local.provisioner import LocalProvisioner
from controlplane.reconciler.site.provisioning import provisioner_of
from controlplane.reconciler.site.reconcile_site import reconcile_site
from controlplane.work.claim import claim
from controlplane.work.loop import run_once
from controlplane.work.models import Kind
from controlplane.work.wake import wake
from tenants.amounts import Amounts
from tenants.errors import Conflict
from tests.reconciler.conftest import World
from tests.reconciler.settling import settle

GIB = 2**30


def found(*machines: Amounts) -> None:
    """Record these machines as an observation of the site does."""
    site = Site.objects.get()
    fake = provisioner_of(site)
    assert isinstance(fake, FakeProvisioner)
    fake.machines = list(machines)
    wake(Kind.SITE, site.id)
    claimed = claim([Kind.SITE])
    assert claimed is not None
    run_once(claimed, reconcile_site)


def asking(**hand: Any) -> ClusterRequest:
    return ClusterRequest("pair", {"hand": hand} if hand else {}, {})


def room(world: World, request: ClusterRequest) -> dict[str, Any]:
    plan: dict[str, Any] = cluster_create_plan(access=world.bob, name="one", request=request)["plan"]
    return {"fits": plan["fits"], **plan["room"]}


def test_a_node_larger_than_every_machine_is_refused_with_the_numbers(world: World) -> None:
    found(Amounts(cpu=2000, memory=8 * GIB), Amounts(cpu=4000, memory=4 * GIB))
    with pytest.raises(Conflict, match=r"hand needs 64 CPU.*largest machine has 4\.") as refused:
        cluster_create(access=world.bob, name="one", request=asking(cpu="64"))
    level = {
        "scope": "site",
        "resource": "cpu",
        "limit": "4",
        "wanted": "64",
        "short_by": "60",
        "group": "hand",
    }
    assert (refused.value.reason, refused.value.extra["levels"][0]) == ("NEVER_FITS", level)
    assert not Cluster.objects.exists()


def test_a_node_that_fits_no_single_machine_in_everything_is_too_large(world: World) -> None:
    found(Amounts(cpu=2000, memory=8 * GIB), Amounts(cpu=4000, memory=4 * GIB))
    with pytest.raises(Conflict, match="NEVER_FITS"):
        cluster_create(access=world.bob, name="one", request=asking(cpu="3", memory="6Gi"))


def test_more_than_all_machines_combined_never_fits(world: World) -> None:
    found(Amounts(cpu=2000, memory=64 * GIB))
    assert room(world, asking())["verdict"] == "never"
    with pytest.raises(Conflict, match="all machines combined have 2"):
        cluster_create(access=world.bob, name="one", request=asking())


def test_the_plan_distinguishes_never_from_not_now(world: World) -> None:
    found(Amounts(cpu=4000, memory=64 * GIB))
    assert room(world, asking()) == {"fits": True, "verdict": "fits", "message": "", "levels": []}
    assert room(world, asking(cpu="5"))["fits"] is False
    settle(world.launch("other"))
    later = room(world, asking())
    assert (later["verdict"], later["fits"]) == ("not_now", True)
    assert "no room for this now" in later["message"]
    assert settle(world.launch("one")).phase == "ready"


def test_an_unknown_capacity_is_reported_and_refuses_nothing(world: World) -> None:
    assert room(world, asking(cpu="64"))["verdict"] == "unknown"
    assert world.launch().phase == "pending"


def test_a_start_and_a_growth_that_can_never_fit_are_refused(world: World) -> None:
    found(Amounts(cpu=4000, memory=64 * GIB))
    settle(world.launch())
    with pytest.raises(Conflict, match="NEVER_FITS"):
        cluster_resize(access=world.bob, cluster="one", groups={"hand": {"count": 9}})
    cluster_stop(access=world.bob, cluster="one", force=True)
    settle(Cluster.objects.get())
    found(Amounts(cpu=500, memory=64 * GIB))
    with pytest.raises(Conflict, match="NEVER_FITS"):
        cluster_start(access=world.bob, cluster="one")


def test_a_shrink_is_never_refused_for_want_of_room(world: World) -> None:
    settle(world.launch())
    found(Amounts(cpu=500, memory=64 * GIB))
    cluster_resize(access=world.bob, cluster="one", groups={"hand": {"count": 1}})
    assert settle(Cluster.objects.get()).phase == "ready"


def test_a_tile_says_that_it_can_never_run(world: World) -> None:
    found(Amounts(cpu=2000, memory=64 * GIB))
    [tile] = tiles(world.bob)
    assert "can never run" in tile.reason
    found(Amounts(cpu=4000, memory=64 * GIB))
    world.launch("other")
    [tile] = tiles(world.bob)
    assert (tile.reason, "no room for this now" in tile.warning) == ("", True)


def test_this_machine_may_be_overcommitted_but_no_node_is_larger_than_it(tmp_path: Any) -> None:
    known = LocalProvisioner(tmp_path).capacity()[""]
    assert known.total is None
    [machine] = known.machines
    assert machine.cpu >= 1000
    assert machine.memory > GIB // 2
