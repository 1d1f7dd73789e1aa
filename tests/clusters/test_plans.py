"""What a change would do, told before it is done."""

from controlplane.clusters.models import Cluster
from controlplane.clusters.services import cluster_create_plan
from controlplane.clusters.services.create import LaunchRequest
from tests.cast import set_limits
from tests.reconciler.conftest import World

REQUEST = LaunchRequest("pair", {}, {})


def test_a_plan_says_that_it_fits(world: World) -> None:
    set_limits(world.people.acme, cpu=2500)
    plan = cluster_create_plan(access=world.bob, name="one", request=REQUEST)["plan"]
    assert plan["fits"] is True
    assert not Cluster.objects.exists()


def test_a_plan_says_that_it_does_not_fit_and_by_how_much(world: World) -> None:
    set_limits(world.people.acme, cpu=2000)
    plan = cluster_create_plan(access=world.bob, name="one", request=REQUEST)["plan"]
    assert plan["fits"] is False
    short = {(level["scope"], level["resource"]): level["short_by"] for level in plan["quota"]}
    assert short["tenant", "cpu"] == "500m"
