"""The buttons of a cluster, used as plain forms."""

from uuid import UUID

import pytest
from django.test import Client

from controlplane.clusters.models import Cluster, Operation
from controlplane.clusters.services import cluster_stop
from tests.console.conftest import SignIn, World
from tests.console.reading import Form, read
from tests.reconciler.settling import settle, site

URL = "/t/acme/clusters/one"


def form_of(client: Client, verb: str, node: str = "") -> Form:
    forms = (form for form in read(client.get(URL)).forms if form.action.endswith(f"/{verb}"))
    return next(form for form in forms if form.fields.get("node", "") == node)


def press(client: Client, verb: str) -> str:
    form = form_of(client, verb)
    answer = client.post(form.action, form.fields, follow=True)
    assert answer.redirect_chain == [(URL, 303)]
    return answer.content.decode()


def phase(cluster: Cluster) -> str:
    return settle(cluster).phase


def test_stop_and_start(sign_in: SignIn, world: World) -> None:
    cluster, client = settle(world.launch()), sign_in("bob")
    assert "one is stopping." in press(client, "stop")
    assert phase(cluster) == "stopped"
    assert "one is starting." in press(client, "start")
    assert phase(cluster) == "ready"


def test_restart(sign_in: SignIn, world: World) -> None:
    cluster, client = settle(world.launch()), sign_in("bob")
    press(client, "restart")
    assert settle(cluster).restart_generation == 2


def test_cancel_stops_what_is_being_created(sign_in: SignIn, world: World) -> None:
    cluster, client = world.launch(), sign_in("bob")
    assert "was cancelled" in press(client, "cancel")
    assert phase(cluster) == "stopped"


def test_cancel_means_the_operation_that_was_on_the_screen(sign_in: SignIn, world: World) -> None:
    cluster, client = world.launch(), sign_in("bob")
    form = form_of(client, "cancel")
    settle(cluster)
    answer = client.post(form.action, form.fields, follow=True)
    assert "there is nothing to cancel" in answer.content.decode()
    assert phase(cluster) == "ready"


@pytest.mark.parametrize("operation", ["", "nonsense", str(UUID(int=7))])
def test_cancel_without_an_operation_says_so(sign_in: SignIn, world: World, operation: str) -> None:
    world.launch()
    answer = sign_in("bob").post(f"{URL}/cancel", {"operation": operation}, follow=True)
    assert "No operation is in progress any more." in answer.content.decode()
    assert Operation.objects.get().state != "cancelled"


def test_a_waiting_stop_can_be_forced(sign_in: SignIn, world: World) -> None:
    cluster, client = settle(world.launch()), sign_in("bob")
    cluster_stop(access=world.bob, cluster="one")
    assert form_of(client, "stop").fields["force"] == "yes"
    press(client, "stop")
    assert Cluster.objects.get(id=cluster.id).force


def test_one_node_can_be_replaced(sign_in: SignIn, world: World) -> None:
    cluster, client = settle(world.launch()), sign_in("bob")
    form = form_of(client, "restart", "hand-1")
    client.post(form.action, form.fields)
    settle(cluster)
    assert site(cluster).made == {"head-0": 1, "hand-0": 1, "hand-1": 2}


def test_a_verb_that_does_not_fit_says_so_on_the_page(sign_in: SignIn, world: World) -> None:
    settle(world.launch())
    answer = sign_in("bob").post(f"{URL}/start", follow=True)
    assert answer.redirect_chain == [(URL, 303)]
    assert "The cluster is ready; start needs one of" in answer.content.decode()


def test_a_button_of_an_old_page_never_applies_to_another_cluster(sign_in: SignIn, world: World) -> None:
    client = sign_in("bob")
    old = settle(world.launch())
    form = form_of(client, "stop")
    Cluster.objects.filter(id=old.id).update(phase="deleted")
    new = world.launch()
    client.post(form.action, form.fields)
    assert Cluster.objects.get(id=new.id).goal == "running"


def test_a_button_needs_the_token_of_its_form(world: World) -> None:
    settle(world.launch())
    client = Client(enforce_csrf_checks=True)
    client.force_login(world.people.bob)
    assert client.post(f"{URL}/stop").status_code == 403
    assert Cluster.objects.get().goal == "running"


def test_a_member_cannot_stop_another_members_cluster(sign_in: SignIn, world: World) -> None:
    settle(world.launch())
    answer = sign_in("carol").post(f"{URL}/stop")
    assert answer.status_code == 403
    assert "needs the role admin" in answer.content.decode()
    assert Cluster.objects.get().goal == "running"


def test_an_admin_stops_another_members_cluster(sign_in: SignIn, world: World) -> None:
    cluster = settle(world.launch())
    sign_in("alice").post(f"{URL}/stop")
    assert phase(cluster) == "stopped"


def test_a_get_request_changes_nothing(sign_in: SignIn, world: World) -> None:
    settle(world.launch())
    answer = sign_in("bob").get(f"{URL}/stop")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert Cluster.objects.get().goal == "running"


def test_pressing_a_button_twice_has_one_effect(sign_in: SignIn, world: World) -> None:
    cluster, client = settle(world.launch()), sign_in("bob")
    client.post(f"{URL}/stop")
    client.post(f"{URL}/stop")
    assert settle(cluster).generation == 2
    assert not site(cluster).alive(cluster.id)
