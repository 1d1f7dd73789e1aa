from tests.api.api import ACME
from tests.api.conftest import World
from tests.reconciler.settling import settle

ONE = {"name": "one", "template": "pair"}


def test_a_launch_answers_with_the_cluster_its_operation_its_tag_and_where_it_is(world: World) -> None:
    answer = world.bob.post("clusters", ONE)
    assert answer.status == 201
    assert answer.body["phase"] == "pending"
    assert answer.body["operation"]["kind"] == "create"
    assert answer.headers["ETag"] == '"1"'
    assert answer.headers["Location"] == f"{ACME}/clusters/{answer.body['id']}"


def test_all_reads(world: World) -> None:
    cluster = world.ready()
    for path in (
        "",
        "members",
        "usage",
        "templates",
        "templates/pair",
        "templates/pair/revisions",
        "clusters",
        "clusters/one",
        "clusters/one/nodes",
        "clusters/one/nodes/hand-0/logs",
        "clusters/one/events",
        "clusters/one/shares",
        "operations",
        f"operations/{cluster.operations.get().pk}",
        "targets",
        "audit",
        "/api/v1/me",
        "/api/v1/tokens",
        "/api/v1/tenants",
        "/api/v1/sites",
        "/api/v1/apps",
        "/api/v1/openapi.json",
        "/healthz",
        "/readyz",
        "/api/v1/docs",
    ):
        answer = world.alice.get(path)
        print(path, answer.status, str(answer.body)[:3000])
        assert answer.status == 200, path
