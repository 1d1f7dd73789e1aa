"""A cluster's life on the fake site, from request to rest."""

import pytest

from controlplane.clusters.models import Cluster, Operation
from controlplane.clusters.services import (
    cluster_delete,
    cluster_resize,
    cluster_restart,
    cluster_start,
    cluster_stop,
    operation_cancel,
)
from controlplane.provisioners.base import Desired, Load
from tenants.amounts import Amounts
from tenants.errors import Conflict, Invalid
from tenants.models import Claim
from tests.reconciler.conftest import World
from tests.reconciler.settling import later, one_pass, settle, site


def last(cluster: Cluster) -> Operation:
    return cluster.operations.order_by("-id")[0]


def test_a_launched_cluster_becomes_ready(world: World) -> None:
    cluster = settle(world.launch())
    assert (cluster.phase, cluster.observed_generation) == ("ready", 1)
    assert last(cluster).state == "succeeded"
    assert {node.name for node in cluster.nodes.all()} == {"head-0", "hand-0", "hand-1"}


def test_every_step_of_the_create_is_timed_and_in_order(world: World) -> None:
    steps = list(last(settle(world.launch())).steps.all())
    assert [step.name for step in steps] == [
        "admitted", "isolated", "applied", "scheduled", "image", "started", "ready"
    ]  # fmt: skip
    assert all(step.ended_at and step.started_at and step.ended_at >= step.started_at for step in steps)


def test_stop_frees_what_runs_and_keeps_what_is_stored(world: World) -> None:
    cluster = settle(world.launch())
    cluster_stop(access=world.bob, cluster="one")
    cluster = settle(cluster)
    assert cluster.phase == "stopped"
    assert not site(cluster).alive(cluster.id)
    held = Claim.objects.get(owner_id=cluster.id).amounts
    assert held == Amounts(storage=2**30, clusters=1)


def test_start_after_stop_is_a_new_run(world: World) -> None:
    cluster = settle(world.launch())
    cluster_stop(access=world.bob, cluster="one")
    settle(cluster)
    cluster_start(access=world.bob, cluster="one")
    cluster = settle(cluster)
    assert (cluster.phase, cluster.run) == ("ready", 2)


def test_restart_replaces_every_node_and_no_other(world: World) -> None:
    cluster = settle(world.launch())
    cluster_restart(access=world.bob, cluster="one")
    cluster = settle(cluster)
    assert cluster.phase == "ready"
    assert {node.attempt for node in cluster.nodes.all()} == {2}
    assert site(cluster).made == {"head-0": 2, "hand-0": 2, "hand-1": 2}


def test_a_site_gets_restart_requests_only_for_the_whole_cluster(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = settle(world.launch())
    restarts: list[int] = []
    apply = site(cluster).apply

    def note(wish: Desired) -> None:
        restarts.append(wish.restart)
        apply(wish)

    monkeypatch.setattr(site(cluster), "apply", note)
    cluster_restart(access=world.bob, cluster="one", nodes=["hand-1"])
    settle(cluster)
    assert set(restarts) == {0}
    cluster_restart(access=world.bob, cluster="one")
    restarted = settle(cluster).generation
    cluster_restart(access=world.bob, cluster="one", nodes=["hand-1"])
    settle(cluster)
    assert restarts[-1] == restarted


def test_one_node_is_replaced_on_request(world: World) -> None:
    cluster = settle(world.launch())
    cluster_restart(access=world.bob, cluster="one", nodes=["hand-1"])
    cluster = settle(cluster)
    assert (cluster.phase, last(cluster).state) == ("ready", "succeeded")
    assert site(cluster).made == {"head-0": 1, "hand-0": 1, "hand-1": 2}


def test_a_node_that_is_replaced_is_replaced_once(world: World) -> None:
    cluster = settle(world.launch())
    for _ in range(2):
        cluster_restart(access=world.bob, cluster="one", nodes=["hand-1"])
    cluster_restart(access=world.bob, cluster="one", nodes=["hand-1", "hand-1"])
    assert cluster.operations.filter(kind="restart").count() == 1
    with pytest.raises(Conflict, match="restart is under way"):
        cluster_restart(access=world.bob, cluster="one", nodes=["hand-0"])


def test_an_unknown_node_cannot_be_replaced(world: World) -> None:
    settle(world.launch())
    with pytest.raises(Invalid, match="hand-0, hand-1, head-0"):
        cluster_restart(access=world.bob, cluster="one", nodes=["hand-7"])


def test_resize_up_adds_and_down_drains(world: World) -> None:
    cluster = settle(world.launch())
    cluster_resize(access=world.bob, cluster="one", groups={"hand": {"count": 4}})
    cluster = settle(cluster)
    assert (cluster.phase, cluster.nodes.filter(group="hand").count()) == ("ready", 4)
    cluster_resize(access=world.bob, cluster="one", groups={"hand": {"count": 1}})
    cluster = settle(cluster)
    assert (cluster.phase, cluster.nodes.filter(group="hand").count()) == ("ready", 1)
    report = last(cluster).report
    assert sorted(entry["outcome"] for entry in report) == ["drained"] * 3
    assert Claim.objects.get(owner_id=cluster.id).amounts.cpu == 1500


def test_a_reused_name_is_a_new_attempt(world: World) -> None:
    cluster = settle(world.launch())
    for count in (4, 1, 4):
        cluster_resize(access=world.bob, cluster="one", groups={"hand": {"count": count}})
        cluster = settle(cluster)
        assert cluster.phase == "ready"
    assert len(site(cluster).alive(cluster.id)) == 5
    assert sorted(cluster.nodes.filter(group="hand").values_list("attempt", flat=True))[-1] == 2


def test_delete_leaves_only_the_tombstone(world: World) -> None:
    cluster = settle(world.launch())
    cluster_delete(access=world.bob, cluster="one")
    cluster = settle(cluster)
    assert cluster.phase == "deleted"
    assert not site(cluster)._clusters
    assert not Claim.objects.filter(owner_id=cluster.id).exists()
    assert not cluster.nodes.exists()


def test_cancelled_create_becomes_a_stop(world: World) -> None:
    cluster = world.launch()
    operation_cancel(access=world.bob, operation=last(cluster).id)
    cluster = settle(cluster)
    assert cluster.phase == "stopped"
    assert [op.state for op in cluster.operations.order_by("id")] == ["cancelled", "succeeded"]


def test_a_lost_hand_is_replaced_while_the_cluster_stays_ready(world: World) -> None:
    cluster = settle(world.launch())
    site(cluster).end_node(cluster.id, "hand-1")
    for observation in site(cluster).news():
        from controlplane.reconciler.site.observations import add_observations

        add_observations(observation)
    one_pass()
    cluster = settle(cluster)
    assert cluster.phase == "ready"
    assert cluster.nodes.get(name="hand-1").attempt == 2
    assert not cluster.events.filter(kind="PHASE_STARTING").count() > 1


def test_a_lost_head_takes_the_cluster_back_to_starting(world: World) -> None:
    cluster = settle(world.launch())
    site(cluster).end_node(cluster.id, "head-0")
    cluster = settle(cluster)
    assert cluster.phase == "ready"
    assert cluster.events.filter(kind="PHASE_STARTING", message__contains="head-0").exists()
    assert site(cluster).made["head-0"] == 2


def test_a_cluster_that_does_not_get_ready_fails_at_its_deadline(world: World) -> None:
    cluster = world.launch()
    site(cluster).unready = {"hand-1"}
    cluster = settle(cluster)
    assert cluster.phase == "starting"
    later(3600)
    cluster = settle(cluster)
    assert (cluster.phase, cluster.reason) == ("failed", "DEADLINE_EXCEEDED")
    assert "hand-1" in cluster.message
    assert last(cluster).state == "failed"


def test_a_failed_cluster_can_be_started_again(world: World) -> None:
    cluster = world.launch()
    site(cluster).unready = {"hand-1"}
    settle(cluster)
    later(3600)
    settle(cluster)
    site(cluster).unready = set()
    cluster_start(access=world.bob, cluster="one")
    cluster = settle(cluster)
    assert (cluster.phase, cluster.run) == ("ready", 2)
    assert {observation.run for observation in site(cluster).alive(cluster.id)} == {2}


def test_at_rest_nothing_is_due_and_nothing_is_called(world: World) -> None:
    cluster = settle(world.launch())
    later(400)
    settle(cluster)
    before = dict(site(cluster).calls)
    later(3600)
    settle(cluster)
    assert dict(site(cluster).calls) == before


def test_the_step_of_a_drain_lasts_as_long_as_the_drain(world: World) -> None:
    cluster = settle(world.launch(hand=3))
    fake = site(cluster)
    fake.loads = {f"hand-{index}": Load(busy=False) for index in range(3)}
    during: list[tuple[str, bool]] = []

    def watched(name: str) -> None:
        steps = {step.name: step for step in last(cluster).steps.all()}
        if "drained" in steps:
            during.append((name, steps["drained"].ended_at is None))

    fake.before_call = watched
    cluster_resize(access=world.bob, cluster="one", groups={"hand": {"count": 1}})
    settle(cluster)
    assert [open_then for name, open_then in during if name in {"load", "begin_drain"}] == [True, True]
    steps = {step.name: step for step in last(cluster).steps.all()}
    assert steps["ended"].started_at == steps["drained"].ended_at
