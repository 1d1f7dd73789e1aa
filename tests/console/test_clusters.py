"""The list of clusters."""

from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext

from controlplane.clusters.models import Cluster
from controlplane.clusters.services import cluster_create, cluster_delete
from controlplane.clusters.services.create import ClusterRequest
from controlplane.console import clusters
from tests.console.conftest import SignIn, World
from tests.console.reading import read
from tests.reconciler.settling import settle

LIST = "/t/acme/clusters"


def shown(client: object, query: str = "") -> list[str]:
    """Names in the order of the list."""
    links = read(client.get(LIST + query)).links  # type: ignore[attr-defined]
    return [link.rpartition("/")[2] for link in links if link.startswith(f"{LIST}/")]


def test_a_row_has_phase_template_nodes_and_owner(sign_in: SignIn, world: World) -> None:
    settle(world.launch("mine"))
    row = sign_in("alice").get(LIST).content.decode().partition("<tbody>")[2]
    for words in ("mine", "ready", "pair", "@1", "3 / 3", "bob", "fake"):
        assert words in row


def test_newest_come_first(sign_in: SignIn, world: World) -> None:
    world.launch("older")
    world.launch("newer")
    assert shown(sign_in("bob")) == ["newer", "older"]


def test_the_list_can_be_narrowed_to_a_phase(sign_in: SignIn, world: World) -> None:
    settle(world.launch("there"))
    world.launch("coming")
    assert shown(sign_in("bob"), "?phase=ready") == ["there"]


def test_the_list_can_be_narrowed_to_an_owner(sign_in: SignIn, world: World) -> None:
    world.launch("bobs")
    cluster_create(access=world.alice, name="alices", request=ClusterRequest("pair", {}, {}))
    assert shown(sign_in("bob"), "?owner=alice") == ["alices"]


def test_deleted_clusters_are_listed_only_on_request(sign_in: SignIn, world: World) -> None:
    cluster = settle(world.launch("gone"))
    cluster_delete(access=world.bob, cluster="gone")
    settle(cluster)
    client = sign_in("bob")
    assert shown(client) == []
    page = client.get(f"{LIST}?phase=deleted").content.decode()
    assert f"{LIST}/{cluster.id}" in page


def test_an_empty_list_and_no_match_differ(sign_in: SignIn, world: World) -> None:
    client = sign_in("bob")
    assert "There is no cluster in this tenant yet" in client.get(LIST).content.decode()
    world.launch()
    assert "No cluster matches" in client.get(f"{LIST}?phase=failed").content.decode()


def test_the_list_is_paged(sign_in: SignIn, world: World, monkeypatch: object) -> None:
    monkeypatch.setattr(clusters, "PAGE", 2)  # type: ignore[attr-defined]
    for number in range(5):
        world.launch(f"one-{number}")
    client, query, pages = sign_in("bob"), "?owner=bob", []
    while query:
        pages.append(shown(client, query))
        links = read(client.get(LIST + query)).links
        query = next((link for link in links if "before=" in link), "")
    assert pages == [["one-4", "one-3"], ["one-2", "one-1"], ["one-0"]]


def test_an_invalid_query_is_ignored(sign_in: SignIn, world: World) -> None:
    world.launch("mine")
    client = sign_in("bob")
    for query in ("?phase=nonsense", "?before=nonsense", "?owner=%00", "?before=%FF&phase=%00", "?page=-1"):
        assert shown(client, query) == ["mine"]


def test_the_query_is_escaped(sign_in: SignIn) -> None:
    page = sign_in("bob").get(f"{LIST}?owner=%3Cscript%3E").content.decode()
    assert "&lt;script&gt;" in page
    assert "<script>" not in page


def test_more_rows_take_no_more_queries(sign_in: SignIn, world: World) -> None:
    client = sign_in("alice")
    settle(world.launch("one-0"))
    few = queries(client)
    for number in range(1, 8):
        settle(world.launch(f"one-{number}"))
    assert queries(client) == few
    print(f"the list takes {few} queries")


def test_more_clusters_take_no_more_queries_at_home(sign_in: SignIn, world: World) -> None:
    client = sign_in("bob")
    settle(world.launch("one-0"))
    few = queries(client, "/t/acme/")
    for number in range(1, 6):
        settle(world.launch(f"one-{number}"))
    assert queries(client, "/t/acme/") == few


def test_the_list_reads_what_clusters_consist_of_once_a_generation(
    sign_in: SignIn, world: World, django_capture_on_commit_callbacks: Any
) -> None:
    world.launch()
    client = sign_in("bob")
    with django_capture_on_commit_callbacks(execute=True), CaptureQueriesContext(connection) as first:
        client.get(LIST)
    with CaptureQueriesContext(connection) as second:
        client.get(LIST)
    assert any("effective" in query["sql"] for query in first)
    assert not any("effective" in query["sql"] for query in second)


def test_a_tombstone_is_found_only_by_id(sign_in: SignIn, world: World) -> None:
    cluster = settle(world.launch("gone"))
    cluster_delete(access=world.bob, cluster="gone")
    settle(cluster)
    client = sign_in("bob")
    assert client.get(f"{LIST}/gone").status_code == 404
    assert client.get(f"{LIST}/{cluster.id}").status_code == 200
    assert Cluster.objects.get().phase == "deleted"


def queries(client: object, path: str = LIST) -> int:
    client.get(path)  # type: ignore[attr-defined]
    with CaptureQueriesContext(connection) as queries:
        client.get(path)  # type: ignore[attr-defined]
    return len(queries)
