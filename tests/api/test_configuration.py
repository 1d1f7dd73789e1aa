"""The configuration of a cluster: how it is shown and changed."""

from typing import Any

import jsonschema
from jsonschema import Draft202012Validator

from controlplane.clusters.models import Cluster
from tests.api.conftest import World
from tests.api.test_described import schema_of
from tests.reconciler.settling import settle

ROUTE = "PATCH tenants/{tenant}/clusters/{cluster}"
CHANGE = {"groups": {"hand": {"cpu": "2", "count": None}}}


def validate(body: Any, status: int) -> None:
    schema = schema_of(ROUTE, status)
    assert schema is not None
    jsonschema.validate(body, schema, Draft202012Validator)


def stopped(world: World) -> str:
    """Stop the cluster. Returns its ETag."""
    world.ready("one", hand=3)
    world.bob.post("clusters/one:stop", {"force": True})
    settle(Cluster.objects.get())
    return str(world.bob.get("clusters/one").headers["ETag"])


def test_requested_and_effective_configuration_are_shown(world: World) -> None:
    world.launch("one", hand=3)
    for shown in (world.bob.get("clusters/one").body, world.bob.get("clusters").body["items"][0]):
        assert shown["requested"] == {"groups": {"hand": {"count": 3}}, "parameters": {}, "preset": None}
        assert (shown["parameters"], shown["preset"]) == ({}, None)
        assert shown["app"] == {"name": "engine", "version": "1.0"}


def test_a_stopped_cluster_is_configured(world: World) -> None:
    tag = stopped(world)
    done = world.bob.call("PATCH", "clusters/one", CHANGE, If_Match=tag)
    assert done.status == 202
    assert done.headers["ETag"] != tag
    assert {group["name"]: (group["cpu"], group["wanted"]) for group in done.body["groups"]} == {
        "head": ("500m", 1),
        "hand": ("2", 2),
    }
    assert done.body["operation"]["kind"] == "configure"
    validate(done.body, 202)
    assert world.bob.call("PATCH", "clusters/one", CHANGE, If_Match=tag).status == 412


def test_its_plan_matches_the_schema(world: World) -> None:
    stopped(world)
    plan = world.bob.call("PATCH", "clusters/one?validate_only=true", CHANGE)
    assert {one["pointer"] for one in plan.body["plan"]["changes"]} == {
        "/groups/hand/count",
        "/groups/hand/cpu",
    }
    validate(plan.body, 200)


def test_sent_twice_with_one_key_it_is_applied_once(world: World) -> None:
    stopped(world)
    first, again = (world.bob.call("PATCH", "clusters/one", CHANGE, Idempotency_Key="k") for _ in range(2))
    assert first.headers["ETag"] == again.headers["ETag"]


def test_a_running_cluster_cannot_be_configured(world: World) -> None:
    world.ready("one")
    assert world.bob.call("PATCH", "clusters/one", CHANGE).reason == "WRONG_PHASE"
    assert world.bob.call("PATCH", "clusters/one", {}).status == 400
    assert world.bob.call("PATCH", "clusters/one", {"owner": "eve"}).status == 400
