"""Configuring a stopped cluster for its next start."""

import copy
from typing import Any

import pytest
from django.db import transaction

from controlplane.clusters.models import Cluster, Site
from controlplane.clusters.phases import FITS, Phase, Verb
from controlplane.clusters.services import (
    cluster_configure,
    cluster_configure_plan,
    cluster_delete,
    cluster_resize,
    cluster_start,
    cluster_stop,
)
from templates import services
from templates.parsing import parse_app
from tenants.actors import system_actor
from tenants.errors import Conflict, Invalid, NeedsRole, PreconditionFailed, QuotaExceeded
from tenants.models import AuditEvent, Claim
from tests import launchable
from tests.cast import set_limits
from tests.reconciler.conftest import World
from tests.reconciler.settling import settle, site

# The engine with a setting, and with a group that this setting enables.
_TOOL = copy.deepcopy(launchable.ENGINE["roles"]["hand"]) | {"title": "Tool", "when": "tools", "min_count": 0}
ENGINE: dict[str, Any] = launchable.ENGINE | {
    "version": "2.0",
    "settings": {
        "level": {"type": "integer", "default": 1, "minimum": 0, "maximum": 9},
        "tools": {"type": "boolean", "default": False},
    },
    "roles": {**launchable.ENGINE["roles"], "tool": _TOOL},
}
TEMPLATE = {
    **launchable.TEMPLATE,
    "app": {"name": "engine", "version": "2.0"},
    "presets": {"fast": {"parameters": {"level": 7}}},
}


@pytest.fixture
def cluster(world: World) -> Cluster:
    """A cluster that ran and was stopped, from revision 2 of its template."""
    services.app_register(actor=system_actor(), app=parse_app(ENGINE))
    services.template_update(access=world.alice, template="pair", body=TEMPLATE)
    settle(world.launch())
    cluster_stop(access=world.bob, cluster="one")
    return settle(Cluster.objects.get())


def configure(world: World, **changes: Any) -> Cluster:
    return cluster_configure(access=world.bob, cluster="one", changes=changes)


def test_sizes_and_parameters_apply_at_the_next_start(world: World, cluster: Cluster) -> None:
    configure(world, groups={"hand": {"cpu": "2", "count": 3}}, parameters={"level": 5})
    settled = settle(cluster)
    assert (settled.phase, settled.observed_generation) == ("stopped", settled.generation)
    assert settled.operations.order_by("-id")[0].state == "succeeded"
    cluster_start(access=world.bob, cluster="one")
    started = settle(cluster)
    assert started.phase == "ready"
    assert started.effective["settings"]["level"] == 5
    assert Claim.objects.get(owner_id=cluster.id).amounts.cpu == 6500
    assert len(site(cluster).alive(cluster.id)) == 4


def test_the_plan_says_what_changes_and_changes_nothing(world: World, cluster: Cluster) -> None:
    changes = {"parameters": {"level": 5}, "groups": {"hand": {"memory": "3Gi"}}}
    plan = cluster_configure_plan(access=world.bob, cluster="one", changes=changes)["plan"]
    assert plan["changes"] == [
        {"pointer": "/groups/hand/memory", "before": "2Gi", "after": "3Gi"},
        {"pointer": "/parameters/level", "before": 1, "after": 5},
    ]
    assert Cluster.objects.get().generation == cluster.generation


def test_another_revision_of_its_template_is_adopted(world: World, cluster: Cluster) -> None:
    services.template_update(access=world.alice, template="pair", body={**TEMPLATE, "title": "Newer"})
    changed = configure(world, revision=3)
    assert changed.template_revision.number == 3
    [change] = AuditEvent.objects.get(verb="cluster.configure").detail["changes"]
    assert change == {"pointer": "/revision", "before": 2, "after": 3}
    settle(cluster)
    with pytest.raises(Invalid) as refusal:
        configure(world, revision=9)
    assert refusal.value.errors[0]["pointer"] == "/revision"


def test_null_resets_a_value_to_the_templates(world: World, cluster: Cluster) -> None:
    configure(world, parameters={"level": 5}, preset="fast")
    settle(cluster)
    assert configure(world, parameters={"level": None}).effective["settings"]["level"] == 7
    settle(cluster)
    assert configure(world, preset="").effective["settings"]["level"] == 1


def test_the_counts_of_a_resize_are_kept(world: World, cluster: Cluster) -> None:
    cluster_resize(access=world.bob, cluster="one", groups={"hand": {"count": 5}})
    settle(cluster)
    changed = configure(world, parameters={"level": 2})
    assert {group["name"]: group["count"] for group in changed.effective["groups"]} == {"head": 1, "hand": 5}


def test_the_current_values_again_change_nothing(world: World, cluster: Cluster) -> None:
    first = configure(world, parameters={"level": 5})
    settle(cluster)
    assert configure(world, parameters={"level": 5}).generation == first.generation


def test_it_is_possible_in_exactly_the_phases_that_fit(world: World, cluster: Cluster) -> None:
    for phase in Phase:
        with transaction.atomic():
            Cluster.objects.update(phase=phase)
            try:
                cluster_configure(access=world.bob, cluster=str(cluster.id), changes={"preset": "fast"})
                reason = ""
            except Conflict as refusal:
                reason = refusal.reason
            assert reason == ("" if phase in FITS[Verb.CONFIGURE] else "WRONG_PHASE"), phase
            transaction.set_rollback(True)


def test_only_the_generation_in_if_match_is_changed(world: World, cluster: Cluster) -> None:
    with pytest.raises(PreconditionFailed):
        cluster_configure(
            access=world.bob, cluster="one", changes={"preset": "fast"}, if_match=cluster.generation - 1
        )


def test_a_member_cannot_configure_another_members_cluster(world: World, cluster: Cluster) -> None:
    Cluster.objects.update(owner=world.people.alice)
    with pytest.raises(NeedsRole):
        configure(world, preset="fast")


def test_volumes_keep_their_size_and_are_not_left_behind(world: World, cluster: Cluster) -> None:
    with pytest.raises(Invalid) as refusal:
        configure(world, groups={"head": {"storage": "2Gi"}})
    assert refusal.value.errors[0]["pointer"] == "/groups/head/storage"
    configure(world, parameters={"tools": True}, groups={"tool": {"count": 1, "storage": "1Gi"}})
    settle(cluster)
    cluster_start(access=world.bob, cluster="one")
    settle(cluster)
    cluster_stop(access=world.bob, cluster="one")
    settle(cluster)
    with pytest.raises(Conflict) as conflict:
        configure(world, parameters={"tools": False}, groups={"tool": None})
    assert conflict.value.reason == "KEEPS_DATA"


def test_more_storage_than_the_tenant_may_hold_is_refused(world: World, cluster: Cluster) -> None:
    set_limits(world.people.acme, storage=2 * 2**30)
    with pytest.raises(QuotaExceeded):
        configure(world, groups={"hand": {"storage": "9Gi"}})


def test_a_node_that_is_larger_than_every_machine_is_refused(world: World, cluster: Cluster) -> None:
    machines = {"": {"machines": [{"cpu": 4000, "memory": 2**36}], "total": None}}
    Site.objects.filter(id=cluster.site_id).update(capacity=machines)
    with pytest.raises(Conflict, match="NEVER_FITS"):
        configure(world, groups={"hand": {"cpu": "5"}})


def test_a_delete_supersedes_it(world: World, cluster: Cluster) -> None:
    configure(world, preset="fast")
    cluster_delete(access=world.bob, cluster="one")
    assert settle(cluster).phase == "deleted"
