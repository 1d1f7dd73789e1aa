"""The page that deletes a cluster asks for its name."""

from django.test import Client

from controlplane.clusters.models import Cluster
from tests.console.conftest import SignIn, World
from tests.console.reading import read
from tests.reconciler.settling import settle

URL = "/t/acme/clusters/one"


def delete(client: Client, name: str) -> tuple[int, str]:
    answer = client.post(f"{URL}/delete", {"name": name})
    return answer.status_code, answer.content.decode() + answer.headers.get("Location", "")


def test_typing_the_name_deletes(sign_in: SignIn, world: World) -> None:
    cluster, client = settle(world.launch()), sign_in("bob")
    status, location = delete(client, "one")
    assert (status, location) == (303, f"/t/acme/clusters/{cluster.id}")
    assert "one is being deleted." in client.get(location).content.decode()
    assert settle(cluster).phase == "deleted"
    assert "No nodes exist now." in client.get(location).content.decode()


def test_another_name_deletes_nothing(sign_in: SignIn, world: World) -> None:
    settle(world.launch())
    for name in ("", "on", "One", "another"):
        status, page = delete(sign_in("bob"), name)
        assert status == 400
        assert "This is not the name." in page
    assert Cluster.objects.get().goal == "running"


def test_the_page_says_what_is_lost(sign_in: SignIn, world: World) -> None:
    settle(world.launch())
    page = sign_in("bob").get(f"{URL}/delete").content.decode()
    assert "1Gi of volumes" in page
    assert "There is no undo." in page


def test_deleting_at_once_is_an_option(sign_in: SignIn, world: World) -> None:
    cluster, client = settle(world.launch()), sign_in("bob")
    client.post(f"{URL}/delete", {"name": "one", "force": "yes"})
    assert Cluster.objects.get(id=cluster.id).force


def test_a_deleted_cluster_is_not_deleted_again(sign_in: SignIn, world: World) -> None:
    cluster, client = settle(world.launch()), sign_in("bob")
    delete(client, "one")
    settle(cluster)
    answer = client.get(f"/t/acme/clusters/{cluster.id}/delete", follow=True)
    assert "The cluster is deleted already." in answer.content.decode()


def test_a_user_without_the_right_to_delete_gets_no_form(sign_in: SignIn, world: World) -> None:
    settle(world.launch())
    assert sign_in("carol").get(f"{URL}/delete").status_code == 403
    assert delete(sign_in("carol"), "one")[0] == 403
    assert Cluster.objects.get().goal == "running"


def test_the_button_opens_the_confirmation(sign_in: SignIn, world: World) -> None:
    cluster = settle(world.launch())
    links = read(sign_in("bob").get(URL)).links
    assert f"/t/acme/clusters/{cluster.id}/delete" in links
