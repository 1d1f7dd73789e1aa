"""Bad input and failures of the database have defined answers and change nothing."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from controlplane.clusters.models import Cluster, Operation
from templates.services import app_withdraw
from tenants.actors import system_actor
from tenants.models import Claim
from tests import launchable
from tests.api.api import ACME, Answer
from tests.api.conftest import World
from tests.cast import set_limits

ONE = {"name": "one", "template": "pair"}


def launching(**changes: Any) -> dict[str, Any]:
    return {**ONE, **changes}


def hands(**sizes: Any) -> dict[str, Any]:
    return launching(groups={"hand": sizes})


# Fault -> (body of a launch, JSON pointer in the answer).
LAUNCHES: list[tuple[str, dict[str, Any], str]] = [
    ("no name", {"template": "pair"}, "/name"),
    ("name in capitals", launching(name="One"), "/name"),
    ("name too long", launching(name="a" * 41), "/name"),
    ("name like a verb", launching(name="one:stop"), "/name"),
    ("name like an id", launching(name="0199aaaa-0000-7000-8000-000000000000"), "/name"),
    ("name is no text", launching(name=7), "/name"),
    ("name is null", launching(name=None), "/name"),
    ("no template", {"name": "one"}, "/template"),
    ("site that is not there", launching(site="moon"), "/site"),
    ("preset that is not there", launching(preset="huge"), "/preset"),
    ("parameter that is not there", launching(parameters={"speed": 1}), "/parameters/speed"),
    ("parameters as a list", launching(parameters=[]), "/parameters"),
    ("groups as a list", launching(groups=[]), "/groups"),
    ("group that is not there", launching(groups={"leg": {"count": 1}}), "/groups/leg"),
    ("group as a number", launching(groups={"hand": 3}), "/groups/hand"),
    ("field of a group that is not there", hands(color="red"), "/groups/hand/color"),
    ("zero workers", hands(count=0), "/groups/hand/count"),
    ("fewer than none", hands(count=-1), "/groups/hand/count"),
    ("more than the role allows", hands(count=65), "/groups/hand/count"),
    ("an absurd count", hands(count=10**30), "/groups/hand/count"),
    ("half a worker", hands(count=1.5), "/groups/hand/count"),
    ("a count as text", hands(count="2"), "/groups/hand/count"),
    ("a count as truth", hands(count=True), "/groups/hand/count"),
    ("negative cpu", hands(cpu="-1"), "/groups/hand/cpu"),
    ("cpu in e notation", hands(cpu="1e30"), "/groups/hand/cpu"),
    ("an absurd cpu", hands(cpu=1e30), "/groups/hand/cpu"),
    ("less than a millicore", hands(cpu="0.0001"), "/groups/hand/cpu"),
    ("less than the role needs", hands(cpu="10m"), "/groups/hand/cpu"),
    ("memory in Gib", hands(memory="2Gib"), "/groups/hand/memory"),
    ("memory that is no number", hands(memory="NaN"), "/groups/hand/memory"),
    ("an absurd memory", hands(memory="9" * 40), "/groups/hand/memory"),
    ("digits of another script", hands(memory="٢Gi"), "/groups/hand/memory"),
    ("memory as an object", hands(memory={"Gi": 2}), "/groups/hand/memory"),
    ("a gpu and a half", hands(gpu=1.5), "/groups/hand/gpu"),
]


@pytest.mark.parametrize(("body", "pointer"), [row[1:] for row in LAUNCHES], ids=[row[0] for row in LAUNCHES])
def test_an_invalid_launch_points_at_the_field(world: World, body: dict[str, Any], pointer: str) -> None:
    answer = world.bob.post("clusters", body)
    assert (answer.status, answer.reason) == (400, "INVALID")
    assert answer.pointers == [pointer]
    assert not Cluster.objects.exists()
    assert not Claim.objects.exists()


RESIZES: list[tuple[str, dict[str, Any], str]] = [
    ("nothing", {}, "/groups"),
    ("no group", {"groups": {}}, "/groups"),
    ("group that is not there", {"groups": {"leg": {"count": 1}}}, "/groups/leg"),
    ("no count", {"groups": {"hand": {}}}, "/groups/hand/count"),
    ("sizes too", {"groups": {"hand": {"count": 1, "cpu": "2"}}}, "/groups/hand/cpu"),
    ("zero workers", {"groups": {"hand": {"count": 0}}}, "/groups/hand/count"),
    ("two masters", {"groups": {"head": {"count": 2}}}, "/groups/head/count"),
    ("an absurd drain", {"groups": {"hand": {"count": 1}}, "drain_seconds": 10**9}, "/drain_seconds"),
    ("negative drain", {"groups": {"hand": {"count": 1}}, "drain_seconds": -1}, "/drain_seconds"),
]


@pytest.mark.parametrize(("body", "pointer"), [row[1:] for row in RESIZES], ids=[row[0] for row in RESIZES])
def test_an_invalid_resize_points_at_the_field(world: World, body: dict[str, Any], pointer: str) -> None:
    world.ready("one")
    answer = world.bob.post("clusters/one:resize", body)
    assert (answer.status, answer.pointers) == (400, [pointer])
    assert Cluster.objects.get().generation == 1


def test_a_template_of_another_tenant_is_not_found(world: World) -> None:
    alice_template = world.alice.get("templates/pair").body["id"]
    answer = world.charlie.post("/api/v1/tenants/globex/clusters", launching(template=alice_template))
    missing = world.charlie.post("/api/v1/tenants/globex/clusters", launching(template="nothing"))
    assert answer.status == missing.status == 404
    assert {**answer.body, "request_id": ""} == {**missing.body, "request_id": ""}


def test_a_withdrawn_app_version_cannot_be_launched(world: World) -> None:
    app_withdraw(actor=system_actor(), name="engine", version="1.0")
    assert world.bob.post("clusters", ONE).reason == "APP_WITHDRAWN"


def test_a_name_in_use_is_refused_until_the_cluster_is_gone(world: World) -> None:
    world.launch("one")
    assert world.bob.post("clusters", ONE).reason == "NAME_TAKEN"
    Cluster.objects.update(phase="deleted")
    assert world.bob.post("clusters", ONE).status == 201


def test_a_suspended_tenant_launches_nothing(world: World) -> None:
    world.root.post(f"{ACME}:suspend")
    assert world.bob.post("clusters", ONE).reason == "TENANT_SUSPENDED"


@pytest.mark.parametrize("verb", ["restart", "resize"])
def test_a_verb_during_the_start_is_refused_and_names_the_operation(world: World, verb: str) -> None:
    live = world.launch("one").operations.get()
    answer = world.bob.post(
        f"clusters/one:{verb}", {"groups": {"hand": {"count": 3}}} if verb == "resize" else {}
    )
    assert answer.reason == "OPERATION_IN_PROGRESS"
    assert answer.body["operation"] == {"id": str(live.pk), "kind": "create", "state": live.state}


def test_a_verb_that_the_phase_refuses_names_the_allowed_ones(world: World) -> None:
    world.ready("one")
    answer = world.bob.post("clusters/one:start")
    assert answer.reason == "WRONG_PHASE"
    assert "stopped" in answer.body["detail"]


def test_a_delete_supersedes_a_create_in_progress(world: World) -> None:
    created = world.launch("one").operations.get()
    answer = world.bob.delete("clusters/one")
    assert (answer.status, answer.body["goal"], answer.body["operation"]["kind"]) == (
        202,
        "deleted",
        "delete",
    )
    created.refresh_from_db()
    assert (created.state, created.reason) == ("cancelled", "SUPERSEDED")


def test_a_limit_below_usage_keeps_claims_and_refuses_growth(world: World) -> None:
    world.ready("one")
    answer = world.root.put("limits", {"cpu": "1"})
    assert answer.status == 200
    assert answer.body["over"] == [
        {"scope": "tenant", "resource": "cpu", "limit": "1", "held": "2500m", "over_by": "1500m"}
    ]
    assert (
        world.bob.post("clusters/one:resize", {"groups": {"hand": {"count": 3}}}).reason == "QUOTA_EXCEEDED"
    )
    assert world.bob.post("clusters/one:resize", {"groups": {"hand": {"count": 1}}}).status == 202


def test_a_request_over_quota_changes_nothing(world: World) -> None:
    set_limits(world.people.acme, cpu=2000)
    assert world.bob.post("clusters", ONE).reason == "QUOTA_EXCEEDED"
    assert not Cluster.objects.exists()
    assert not Operation.objects.exists()


def test_of_two_concurrent_resizes_one_succeeds_and_the_other_is_refused(
    transactional_db: None, world: World
) -> None:
    world.ready("one")

    def resize(count: int) -> Answer:
        try:
            return world.bob.post(
                "clusters/one:resize", {"groups": {"hand": {"count": count}}}, If_Match='"1"'
            )
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        answers = sorted(pool.map(resize, (3, 4)), key=lambda answer: answer.status)
    assert [answer.status for answer in answers] == [202, 412]
    assert Cluster.objects.get().generation == 2


TEMPLATES: list[tuple[str, dict[str, Any], str]] = [
    ("no app", {"groups": []}, "/app"),
    ("an app that is not there", {**launchable.TEMPLATE, "app": {"name": "engine", "version": "9"}}, "/app"),
    (
        "a role that is not there",
        {**launchable.TEMPLATE, "groups": [{"name": "leg", "role": "leg"}]},
        "/groups/0/role",
    ),
    (
        "a group twice",
        {**launchable.TEMPLATE, "groups": [launchable.TEMPLATE["groups"][0]] * 2},
        "/groups/1/name",
    ),
    ("unknown keyword", {**launchable.TEMPLATE, "parameters": {"$ref": "x"}}, "/parameters/$ref"),
]


@pytest.mark.parametrize(
    ("body", "pointer"), [row[1:] for row in TEMPLATES], ids=[row[0] for row in TEMPLATES]
)
def test_an_invalid_template_points_at_the_field(world: World, body: dict[str, Any], pointer: str) -> None:
    answer = world.alice.post("templates", {"name": "other", **body})
    assert answer.status == 400
    assert pointer in answer.pointers
