"""Accounts, tenants, templates, operations, nodes, logs, events, audit, catalogue and probes."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from controlplane.clusters.models import Cluster, Observation
from controlplane.provisioners.fake import FakeProvisioner
from tenants.models import ApiToken, Tenant
from tests import launchable
from tests.api.api import ACME, ROOT, Api, as_user
from tests.api.conftest import World


def names(answer: Any, member: str = "name") -> list[str]:
    return [row[member] for row in answer.body["items"]]


def test_me_names_the_user_and_the_tenants(world: World) -> None:
    assert world.alice.get(f"{ROOT}/me").body == {
        "user": "alice",
        "site_admin": False,
        "tenants": [{"name": "acme", "role": "admin"}],
    }
    assert world.root.get(f"{ROOT}/me").body == {"user": "root", "site_admin": True, "tenants": []}


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer a b", "Basic YTpi", "Bearer slw_nothing", "Bearer \xff", "bearer " + "x" * 300],
)
def test_without_a_valid_token_every_request_is_refused(world: World, header: str) -> None:
    answer = Api().get(f"{ROOT}/me", **({"Authorization": header} if header else {}))
    assert (answer.status, answer.reason) == (401, "UNAUTHENTICATED")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_session_of_the_console_opens_nothing_here(world: World) -> None:
    world.anonymous.client.force_login(world.people.alice)
    assert world.anonymous.get(f"{ROOT}/me").status == 401


def test_a_token_that_expired_or_whose_owner_is_locked_out_opens_nothing(world: World) -> None:
    world.people.carol.is_active = False
    world.people.carol.save()
    assert world.carol.get(f"{ROOT}/me").status == 401
    made = world.bob.post(f"{ROOT}/tokens", {"name": "ci", "expires_in_days": 1}).body
    ApiToken.objects.filter(id=made["id"]).update(expiry="2020-01-01T00:00Z")
    assert Api(made["token"]).get(f"{ROOT}/me").status == 401


def test_a_token_is_limited_to_its_scopes(world: World) -> None:
    body = {"name": "ci", "tenant": "acme", "scopes": ["clusters:write"], "expires_in_days": 90}
    made = world.bob.post(f"{ROOT}/tokens", body)
    assert made.status == 201
    ci = Api(made.body["token"])
    assert ci.post("clusters", {"name": "one", "template": "pair"}).status == 201
    assert ci.get("clusters").status == 200
    assert ci.get("members").reason == "NEEDS_SCOPE"
    assert ci.post(f"{ROOT}/tokens", {"name": "more"}).reason == "NEEDS_SCOPE"


def test_a_site_admins_token_for_one_tenant_has_no_power_above_it(world: World) -> None:
    bound = as_user(world.people.root, tenant=world.people.acme)
    assert bound.get(ACME).status == 200
    assert bound.get(f"{ROOT}/tenants/globex").status == 404
    assert bound.post(f"{ROOT}/tenants", {"name": "initech"}).status == 403
    assert bound.put("limits", {"cpu": "1"}).status == 403


def test_a_revoked_token_is_gone_at_once(world: World) -> None:
    made = world.bob.post(f"{ROOT}/tokens", {"name": "ci"}).body
    assert world.bob.delete(f"{ROOT}/tokens/{made['id']}").status == 204
    assert Api(made["token"]).get(f"{ROOT}/me").status == 401
    assert names(world.bob.get(f"{ROOT}/tokens")) == ["test"]


def test_use_of_a_token_is_noted_once_a_minute(world: World, django_assert_num_queries: Any) -> None:
    world.bob.get(f"{ROOT}/me")
    with django_assert_num_queries(2):
        world.bob.get(f"{ROOT}/me")
    assert ApiToken.objects.get(user=world.people.bob).last_used_at is not None


def test_a_tenant_is_created_filled_suspended_resumed_and_deleted(world: World) -> None:
    made = world.root.post(
        f"{ROOT}/tenants", {"name": "initech", "limits": {"cpu": "8", "memory": "16Gi", "gpu": None}}
    )
    assert made.headers["Location"] == f"{ROOT}/tenants/{made.body['id']}"
    tenant = f"{ROOT}/tenants/initech"
    assert world.root.put(f"{tenant}/members/carol", {"role": "admin"}).body["role"] == "admin"
    assert world.carol.get(tenant).body["role"] == "admin"
    assert world.root.post(f"{tenant}:suspend").body["state"] == "suspended"
    assert world.root.post(f"{tenant}:resume").body["state"] == "active"
    deleted = world.root.delete(tenant)
    assert (deleted.status, deleted.body["state"]) == (202, "deleting")


@pytest.mark.parametrize(
    ("limits", "pointer"),
    [
        ({"cpu": "2Gib"}, "/limits/cpu"),
        ({"ram": 1}, "/limits/ram"),
        ({"gpu": -1}, "/limits/gpu"),
        ([], "/limits"),
    ],
)
def test_an_invalid_limit_is_pointed_at(world: World, limits: Any, pointer: str) -> None:
    answer = world.root.post(f"{ROOT}/tenants", {"name": "initech", "limits": limits})
    assert (answer.status, answer.pointers) == (400, [pointer])
    assert not Tenant.objects.filter(name="initech").exists()


def test_limits_change_by_resource_and_show_in_the_usage(world: World) -> None:
    answer = world.root.put("limits", {"cpu": "4", "memory": "8Gi"})
    assert answer.body["over"] == []
    world.root.put("limits", {"cpu": None})
    found = {(row["scope"], row["resource"]): row["limit"] for row in world.bob.get("usage").body["limits"]}
    assert (found["tenant", "cpu"], found["tenant", "memory"]) == (None, "8Gi")


def test_usage_names_who_holds_what(world: World) -> None:
    world.alice.put("limits/members/bob", {"cpu": "4"})
    world.launch("one")
    usage = world.bob.get("usage").body
    [claim] = usage["holders"]
    assert (claim["cluster"], claim["owner"], claim["holds"]["cpu"]) == ("one", "bob", "2500m")
    [mine] = [row for row in usage["limits"] if row["scope"] == "member" and row["resource"] == "cpu"]
    assert mine == {"resource": "cpu", "scope": "member", "limit": "4", "held": "2500m", "free": "1500m"}


def test_the_last_admin_stays(world: World) -> None:
    assert world.alice.put("members/alice", {"role": "viewer"}).reason == "LAST_ADMIN"
    assert world.alice.delete("members/alice").reason == "LAST_ADMIN"


def test_a_user_is_created_once(world: World) -> None:
    body = {"username": "dora", "password": "three-words-long"}
    made = world.root.post(f"{ROOT}/users", body)
    assert made.status == 201
    assert "password" not in made.body
    assert world.root.post(f"{ROOT}/users", body).reason == "NAME_TAKEN"
    assert (
        world.root.post(f"{ROOT}/users", {**body, "username": "dan", "password": "123"}).pointers[0]
        == "/password"
    )


def test_a_template_lives_from_draft_to_deletion(world: World) -> None:
    made = world.alice.post("templates", {**launchable.TEMPLATE, "name": "etl"})
    assert (made.status, made.body["state"], made.body["revision"]) == (201, "draft", 1)
    assert made.headers["Location"] == f"{ACME}/templates/{made.body['id']}"
    assert world.bob.get("templates/etl").status == 404
    assert world.alice.post("templates/etl:publish").body["state"] == "published"
    changed = {**launchable.TEMPLATE, "title": "Nightly"}
    assert world.alice.put("templates/etl", changed).body["revision"] == 2
    assert world.alice.post("templates/etl:rollback", {"revision": 1}).body["revision"] == 1
    revisions = world.bob.get("templates/etl/revisions").body["items"]
    assert [(row["revision"], row["current"]) for row in revisions] == [(2, False), (1, True)]
    assert world.alice.delete("templates/etl").status == 204
    assert world.alice.get("templates/etl").status == 404


def test_a_revisions_body_can_be_sent_again(world: World) -> None:
    [revision] = world.alice.get("templates/pair/revisions").body["items"]
    again = world.alice.put("templates/pair", revision["body"])
    assert (again.status, again.body["revision"]) == (200, 1)


def test_operations_show_their_steps(world: World) -> None:
    cluster = world.ready("one")
    [found] = world.carol.get("operations?cluster=one").body["items"]
    assert found["state"] == "succeeded"
    assert [step["name"] for step in found["steps"]][:2] == ["admitted", "isolated"]
    assert all(step["ended_at"] for step in found["steps"])
    assert world.carol.get(f"operations/{found['id']}").body == found
    assert found["cluster_id"] == str(cluster.pk)


def test_a_cancelled_creation_becomes_a_stop(world: World) -> None:
    operation = world.launch("one").operations.get()
    answer = world.bob.post(f"operations/{operation.pk}:cancel")
    assert (answer.status, answer.body["state"], answer.body["error"]["reason"]) == (
        202,
        "cancelled",
        "CANCELLED",
    )
    assert Cluster.objects.get().goal == "stopped"


@pytest.mark.parametrize("wait", ["-1", "61", "x", "1.5"])
def test_a_wait_is_limited_to_a_minute(world: World, wait: str) -> None:
    answer = world.bob.get(f"operations/{uuid4()}?wait={wait}")
    assert answer.body["errors"][0]["parameter"] == "wait"


def test_nodes_show_their_address_and_phase(world: World) -> None:
    world.ready("one")
    nodes = world.carol.get("clusters/one/nodes").body["items"]
    assert [node["name"] for node in nodes] == ["hand-0", "hand-1", "head-0"]
    assert {node["phase"] for node in nodes} == {"ready"}
    assert nodes[0]["address"] == "127.0.0.1"


def test_a_node_without_an_observation_is_pending(world: World) -> None:
    world.ready("one")
    Observation.objects.filter(name="hand-1").delete()
    nodes = {node["name"]: node["phase"] for node in world.bob.get("clusters/one/nodes").body["items"]}
    assert nodes == {"hand-0": "ready", "hand-1": "pending", "head-0": "ready"}


def test_a_log_is_plain_text_with_the_requested_number_of_lines(world: World, monkeypatch: Any) -> None:
    world.ready("one")
    monkeypatch.setattr(FakeProvisioner, "logs", lambda *_, tail_bytes: b"a\nb\nc\n")
    answer = world.bob.get("clusters/one/nodes/hand-0/logs?tail=2")
    assert answer.body == b"b\nc\n"
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_a_log_of_no_node_is_a_problem(world: World) -> None:
    world.ready("one")
    assert world.bob.get("clusters/one/nodes/hand-9/logs").reason == "NOT_FOUND"


def test_events_are_listed_newest_first(world: World) -> None:
    world.ready("one")
    kinds = names(world.carol.get("clusters/one/events"), "kind")
    assert "PHASE_READY" in kinds
    assert kinds.index("PHASE_READY") < kinds.index("PHASE_STARTING")


def test_targets_are_those_of_the_tenants_own_ready_nodes(world: World) -> None:
    world.ready("one")
    [target] = world.bob.get("targets").body
    assert target["targets"] == ["127.0.0.1:8080"]
    assert target["labels"]["__metrics_path__"] == "/metrics"
    assert (target["labels"]["slipway_cluster"], target["labels"]["slipway_node"]) == ("one", "head-0")
    assert world.charlie.get(f"{ROOT}/tenants/globex/targets").body == []


def test_the_audit_is_filtered(world: World) -> None:
    world.launch("one")
    assert names(world.alice.get("audit?verb=cluster.create"), "actor") == ["bob"]
    assert names(world.alice.get("audit?actor=zoe"), "verb") == []
    assert names(world.alice.get("audit?outcome=denied"), "verb") == []


def test_the_catalogue_shows_roles_and_services(world: World) -> None:
    [app] = world.bob.get(f"{ROOT}/apps").body["items"]
    assert (app["name"], names_of(app["roles"])) == ("engine", ["head", "hand"])
    assert app["services"][0] == {
        "name": "page",
        "role": "head",
        "port": 8080,
        "scheme": "http",
        "dashboard": True,
    }


def names_of(rows: list[dict[str, Any]]) -> list[str]:
    return [row["name"] for row in rows]


def test_the_fake_site_is_shown_only_where_it_is_enabled(world: World, settings: Any) -> None:
    assert names(world.bob.get(f"{ROOT}/sites")) == ["fake"]
    settings.FAKE_SITE = False
    assert names(world.bob.get(f"{ROOT}/sites")) == []


def test_probes_need_no_token(world: World) -> None:
    assert world.anonymous.get("/healthz").body == {"status": "ok"}
    ready = world.anonymous.get("/readyz")
    assert (ready.status, ready.body["database"], ready.body["sites"]) == (
        200,
        "ok",
        {"ready": 1, "not_ready": 0},
    )
    assert ready.body["vault"] == "not configured"


@pytest.fixture
def no_database(transactional_db: None, world: World) -> Iterator[World]:
    name = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = "nowhere"
    yield world
    connection.close()
    connection.settings_dict["NAME"] = name


def test_without_its_database_a_process_is_alive_and_not_ready(no_database: World) -> None:
    assert no_database.anonymous.get("/healthz").status == 200
    ready = no_database.anonymous.get("/readyz")
    assert (ready.status, ready.body["database"]) == (503, "unreachable")
    answer = no_database.bob.get(f"{ROOT}/me")
    assert (answer.reason, answer.headers["Retry-After"]) == ("DATABASE_UNAVAILABLE", "2")


def test_the_lag_is_the_age_of_the_oldest_unclaimed_work_item(world: World) -> None:
    from tests.reconciler.settling import later

    world.launch("one")
    later(90)
    assert world.anonymous.get("/readyz").body["sweep_lag_seconds"] >= 90
