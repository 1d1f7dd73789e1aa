"""Plans of changes."""

from datetime import timedelta
from typing import Any

from django.db.models import F

from controlplane.clusters.models import Cluster, Operation
from controlplane.clusters.phases import Verb
from controlplane.clusters.queries.reads import usual_seconds
from controlplane.clusters.services import cluster_create_plan, cluster_resize, cluster_verb_plan
from controlplane.clusters.services.create import ClusterRequest
from controlplane.clusters.services.verbs import VerbRequest
from tenants.models import Claim
from tests.cast import set_limits
from tests.reconciler.conftest import World
from tests.reconciler.settling import settle

REQUEST = ClusterRequest("pair", {}, {})


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


def cpu(plan: dict[str, Any]) -> dict[str, Any]:
    return next(level for level in plan["quota"] if (level["scope"], level["resource"]) == ("tenant", "cpu"))


def test_the_plan_of_a_shrink_shows_what_is_held_when_it_is_done(world: World) -> None:
    settle(world.launch(hand=3))
    wanted = VerbRequest(Verb.RESIZE, groups={"hand": {"count": 1}})
    plan = cluster_verb_plan(access=world.bob, cluster="one", request=wanted)["plan"]
    assert (plan["takes"]["cpu"], cpu(plan)["held"], cpu(plan)["after"]) == ("1500m", "3500m", "1500m")
    cluster_resize(access=world.bob, cluster="one", groups={"hand": {"count": 1}})
    cluster = settle(Cluster.objects.get())
    assert Claim.objects.get(owner_id=cluster.id).amounts.to_json()["cpu"] == cpu(plan)["after"]


def test_usual_seconds_are_the_tenants_own_and_without_what_is_installed_once(world: World) -> None:
    cluster = settle(world.launch())
    operation = cluster.operations.get()
    Operation.objects.filter(id=operation.id).update(ended_at=F("created_at") + timedelta(seconds=163))
    operation.steps.filter(name="image").update(
        started_at=operation.created_at, ended_at=operation.created_at + timedelta(seconds=150)
    )
    template = cluster.template_revision.template_id
    assert usual_seconds(world.people.acme.id, [template])[template]["p50"] == 13.0
    assert usual_seconds(world.people.globex.id, [template]) == {}
