from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from controlplane.clusters.models import Cluster, Operation, Site
from controlplane.clusters.secrets import run_secret
from controlplane.clusters.services import cluster_share
from tests.api.api import ACME
from tests.api.conftest import World
from tests.reconciler.settling import settle

ONE = {"name": "one", "template": "pair"}


def page_url(document: dict[str, Any]) -> str | None:
    [page] = [service for service in document["services"] if "url" in service]
    url: str | None = page["url"]
    return url


def test_a_launch_answers_with_cluster_operation_etag_and_location(world: World) -> None:
    answer = world.bob.post("clusters", ONE)
    assert answer.status == 201
    assert answer.body["phase"] == "pending"
    assert answer.body["owner"] == "bob"
    assert answer.body["operation"]["kind"] == "create"
    assert answer.body["takes"] == {
        "cpu": "2500m",
        "memory": "5Gi",
        "gpu": 0,
        "storage": "1Gi",
        "clusters": 1,
    }
    assert answer.headers["ETag"] == '"1"'
    assert answer.headers["Location"] == f"{ACME}/clusters/{answer.body['id']}"


def test_a_ready_cluster_counts_its_nodes_and_names_its_services(world: World) -> None:
    world.ready("one")
    document = world.bob.get("clusters/one").body
    assert document["phase"] == "ready"
    assert [(group["name"], group["wanted"], group["ready"]) for group in document["groups"]] == [
        ("head", 1, 1),
        ("hand", 2, 2),
    ]
    assert {service["name"] for service in document["services"]} == {"page", "metrics"}


def test_group_sizes_of_the_launch_are_in_the_answer(world: World) -> None:
    groups = {"hand": {"count": 3, "cpu": "2", "memory": "4Gi"}}
    document = world.bob.post("clusters", {**ONE, "groups": groups, "site": "fake"}).body
    assert document["groups"][1] | groups["hand"] == document["groups"][1] | {"count": 3}


def test_the_page_of_a_cluster_opens_only_for_its_owner(world: World) -> None:
    cluster = world.ready("one")
    Site.objects.update(kind="local")
    secret = run_secret(Cluster.objects.get(), "page")
    assert page_url(world.bob.get("clusters/one").body) == f"http://127.0.0.1:8080/?token={secret}"
    for other in (world.alice, world.carol, world.root):
        assert page_url(other.get("clusters/one").body) is None
    cluster_share(access=world.bob_access, cluster=str(cluster.pk), username="alice")
    assert page_url(world.alice.get("clusters/one").body) is not None


def test_a_plan_changes_nothing(world: World) -> None:
    answer = world.bob.post("clusters?validate_only=true", ONE)
    assert answer.status == 200
    assert [change["count"] for change in answer.body["plan"]["adds"]] == [1, 2]
    assert answer.body["plan"]["fits"] is True
    assert not Cluster.objects.exists()


@pytest.mark.parametrize(
    ("verb", "body"),
    [("stop", {}), ("restart", {}), ("resize", {"groups": {"hand": {"count": 4}}}), ("start", {})],
)
def test_a_plan_of_a_verb_changes_nothing(world: World, verb: str, body: object) -> None:
    world.ready("one")
    answer = world.bob.post(f"clusters/one:{verb}?validate_only=true", body)
    assert answer.status == (409 if verb == "start" else 200)
    assert Cluster.objects.get().generation == 1


@pytest.mark.parametrize(
    ("verb", "body", "goal"),
    [
        ("stop", {"force": True}, "stopped"),
        ("restart", {}, "running"),
        ("restart", {"nodes": ["hand-1"]}, "running"),
        ("resize", {"groups": {"hand": {"count": 4}}, "drain_seconds": 5}, "running"),
    ],
)
def test_a_verb_is_accepted_with_its_operation(world: World, verb: str, body: object, goal: str) -> None:
    world.ready("one")
    answer = world.bob.post(f"clusters/one:{verb}", body)
    assert (answer.status, answer.body["goal"], answer.body["operation"]["kind"]) == (202, goal, verb)
    assert answer.headers["ETag"] == '"2"'


def test_a_verb_needs_no_body(world: World) -> None:
    world.ready("one")
    assert world.bob.call("POST", "clusters/one:stop").status == 202


def test_repeating_a_verb_in_progress_answers_with_its_operation(world: World) -> None:
    world.ready("one")
    first, second = world.bob.post("clusters/one:stop"), world.bob.post("clusters/one:stop")
    assert second.status == 202
    assert second.body["operation"]["id"] == first.body["operation"]["id"]
    assert second.headers["ETag"] == first.headers["ETag"]


def test_a_deleted_cluster_is_found_by_id_and_listed_only_on_request(world: World) -> None:
    cluster = world.ready("one")
    world.bob.delete("clusters/one", {"force": True})
    settle(cluster)
    assert world.bob.get("clusters/one").status == 404
    assert world.bob.get(f"clusters/{cluster.pk}").body["phase"] == "deleted"
    assert world.bob.get("clusters").body["items"] == []
    assert len(world.bob.get("clusters?phase=deleted").body["items"]) == 1


@pytest.mark.parametrize(
    ("tag", "status"), [('"1"', 202), ("*", 202), ('"2"', 412), ('"x"', 412), ('W/"1"', 412)]
)
def test_a_verb_applies_only_to_the_generation_in_if_match(world: World, tag: str, status: int) -> None:
    world.ready("one")
    assert world.bob.post("clusters/one:stop", {}, If_Match=tag).status == status


@pytest.mark.parametrize("tag", ["1", '"', "", '"1", "2"', "W/1"])
def test_an_invalid_entity_tag_is_refused(world: World, tag: str) -> None:
    world.ready("one")
    answer = world.bob.post("clusters/one:stop", {}, If_Match=tag)
    assert (answer.status, answer.body["errors"][0]["header"]) == (400, "If-Match")


def test_progress_does_not_change_the_tag(world: World) -> None:
    cluster = world.launch("one")
    before = world.bob.get("clusters/one").headers["ETag"]
    settle(cluster)
    assert world.bob.get("clusters/one").headers["ETag"] == before


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["two", "one"]),
        ("phase=pending", ["two"]),
        ("owner=bob", ["two", "one"]),
        ("owner=alice", []),
        ("site=fake&template=pair", ["two", "one"]),
        ("site=moon", []),
        ("page_size=1", ["two"]),
    ],
)
def test_lists_are_filtered(world: World, query: str, names: list[str]) -> None:
    world.ready("one")
    world.launch("two")
    found = world.bob.get(f"clusters?{query}").body["items"]
    assert [row["name"] for row in found] == names


def test_a_list_takes_as_many_queries_for_ten_as_for_one(world: World) -> None:
    def queries() -> int:
        # The first request reads the groups of the clusters once.
        world.bob.get("clusters")
        with CaptureQueriesContext(connection) as found:
            world.bob.get("clusters")
            return len(found)

    world.launch("first")
    few = queries()
    for index in range(9):
        world.launch(f"more-{index}")
    assert queries() == few <= 8


def test_usual_seconds_of_a_template_come_from_its_launches(world: World) -> None:
    world.ready("one")
    Operation.objects.update(ended_at=F("created_at") + timedelta(seconds=8))
    assert world.bob.get("templates/pair").body["usual_seconds"] == {"p50": 8.0, "p95": 8.0, "of": 1}


def test_a_share_lets_another_member_operate_until_it_is_revoked(world: World) -> None:
    world.ready("one")
    assert world.dave.post("clusters/one:stop").status == 403
    assert world.bob.put("clusters/one/shares/dave").body["user"] == "dave"
    assert [row["user"] for row in world.bob.get("clusters/one/shares").body["items"]] == ["dave"]
    assert world.dave.post("clusters/one:stop").status == 202
    assert world.bob.delete("clusters/one/shares/dave").status == 204
    assert world.bob.delete("clusters/one/shares/dave").status == 404
    assert world.dave.post("clusters/one:stop").status == 403


def test_an_admin_cannot_open_anothers_pages_by_a_share_of_their_own_making(world: World) -> None:
    world.ready("one")
    assert world.alice.put("clusters/one/shares/alice").status == 403


def test_a_viewer_cannot_get_a_share(world: World) -> None:
    world.ready("one")
    assert world.bob.put("clusters/one/shares/carol").status == 400
