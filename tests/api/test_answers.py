"""Names, numbers and times in answers are right, and a refusal names every fault."""

import re
from typing import Any

import pytest
from django.db import transaction

from controlplane.api import idempotency
from controlplane.api.models import IdempotencyKey
from controlplane.clusters.models import Cluster
from controlplane.clusters.outlines import outline_of
from controlplane.clusters.services import cluster_delete, cluster_resize
from tests import launchable
from tests.api.api import ACME
from tests.api.conftest import World
from tests.reconciler.settling import site

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


def times(tree: Any) -> list[str]:
    if isinstance(tree, dict):
        return [found for inner in tree.values() for found in times(inner)]
    if isinstance(tree, list):
        return [found for inner in tree for found in times(inner)]
    return [tree] if isinstance(tree, str) and TIME.match(tree) else []


@pytest.mark.parametrize("path", ["clusters/one", "clusters/one/nodes", "clusters/one/events", "operations"])
def test_every_time_ends_in_z(world: World, path: str) -> None:
    world.ready("one")
    found = times(world.bob.get(path).body)
    assert found
    assert {time[-1] for time in found} == {"Z"}


def test_holders_and_advice_name_the_owner_and_the_cluster(world: World) -> None:
    cluster = world.launch("one")
    [claim] = world.bob.get("usage").body["holders"]
    assert (claim["owner"], claim["cluster"], claim["cluster_id"]) == ("bob", "one", str(cluster.id))
    world.root.put(f"{ACME}/limits", {"cpu": "3"})
    refused = world.bob.post("clusters", {"name": "two", "template": "pair"})
    [advice] = refused.body["would_fit_if_stopped"]
    assert (advice["owner"], advice["cluster"]) == ("bob", "one")


@pytest.mark.parametrize("cpu", [0.1, 0.3, 0.5, 1.1, 1.5, 2])
def test_cpu_is_accepted_as_a_json_number(world: World, cpu: float) -> None:
    body = {"name": "one", "template": "pair", "groups": {"hand": {"cpu": cpu}}}
    made = world.bob.post("clusters", body)
    assert made.status == 201, made.body
    [hand] = [group for group in made.body["groups"] if group["name"] == "hand"]
    assert hand["cpu"] in {f"{round(cpu * 1000)}m", str(cpu)}


def test_a_locked_value_hides_no_other_fault(world: World) -> None:
    body = {
        **launchable.TEMPLATE,
        "groups": [
            {"name": "head", "role": "head", "count": 1},
            {"name": "hand", "role": "hand", "count": 2, "max_count": 3, "max_cpu": "2"},
        ],
    }
    world.alice.put("templates/pair", body)
    wrong = {
        "name": "one",
        "template": "pair",
        "site": "nowhere",
        "parameters": {"unknown": 1, "other": 2},
        "groups": {"hand": {"count": 9, "cpu": "64", "memory": "x"}, "foot": {"count": 1}},
    }
    assert sorted(world.bob.post("clusters", wrong).pointers) == [
        "/groups/foot",
        "/groups/hand/count",
        "/groups/hand/cpu",
        "/groups/hand/memory",
        "/parameters/other",
        "/parameters/unknown",
        "/site",
    ]


def test_a_name_is_refused_until_its_deleted_cluster_is_gone(world: World) -> None:
    world.ready("one")
    cluster_delete(access=world.bob_access, cluster="one")
    Cluster.objects.update(phase="deleting")
    for path in ("clusters", "clusters?validate_only=true"):
        refused = world.bob.post(path, {"name": "one", "template": "pair"})
        assert refused.reason == "NAME_TAKEN"
        assert "Wait until it is gone" in refused.body["detail"]


def test_a_log_is_valid_utf_8(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = world.ready("one")
    monkeypatch.setattr(site(cluster), "logs", lambda *_, **__: b"caf\xc3\xa9 \xff\xfe end\n")
    answer = world.bob.get("clusters/one/nodes/hand-0/logs")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.body.decode() == "café �� end\n"


@pytest.mark.django_db(transaction=True)
def test_a_change_that_was_rolled_back_is_not_shown(world: World) -> None:
    world.ready("one")
    with transaction.atomic():
        tried = cluster_resize(access=world.bob_access, cluster="one", groups={"hand": {"count": 5}})
        outline_of(tried)
        transaction.set_rollback(True)
    cluster_resize(access=world.bob_access, cluster="one", groups={"hand": {"count": 3}})
    [hand] = [group for group in world.bob.get("clusters/one").body["groups"] if group["name"] == "hand"]
    assert hand["wanted"] == 3


def test_the_number_of_keys_kept_per_user_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "MOST_KEPT", 3)
    world.launch("one")
    for number in range(5):
        world.bob.post("clusters/one:start", Idempotency_Key=f"key-{number}")
    world.alice.post("clusters/one:start", Idempotency_Key="hers")
    idempotency.purge()
    kept = set(IdempotencyKey.objects.values_list("key", flat=True))
    assert kept == {"key-2", "key-3", "key-4", "hers"}
