"""The page that resizes a cluster: its counts, their errors and the preview."""

import pytest
from django.test import Client

from controlplane.clusters.models import Cluster, Node
from tests.cast import set_limits
from tests.console.conftest import SignIn, World
from tests.console.reading import forms
from tests.reconciler.settling import settle

URL = "/t/acme/clusters/one/resize"


def send(client: Client, **fields: str) -> tuple[int, str]:
    filled = forms(client.get(URL), "")[0].fields
    answer = client.post(URL, filled | fields, follow=True)
    return answer.status_code, answer.content.decode()


def test_more_workers(sign_in: SignIn, world: World) -> None:
    cluster, client = settle(world.launch()), sign_in("bob")
    assert "one is being resized." in send(client, **{"count-hand": "4"})[1]
    settle(cluster)
    assert Node.objects.filter(group="hand").count() == 4


def test_fewer_workers(sign_in: SignIn, world: World) -> None:
    cluster, client = settle(world.launch()), sign_in("bob")
    send(client, **{"count-hand": "1"})
    assert settle(cluster).phase == "ready"
    assert Node.objects.filter(group="hand").count() == 1


@pytest.mark.parametrize(
    ("count", "error"),
    [
        ("0", "The template allows 1 to 64"),
        ("65", "The template allows 1 to 64"),
        ("2", "Change at least one"),
        ("", "Must be a whole number"),
        ("-1", "Must be a whole number"),
        ("1e30", "Must be a whole number"),
        ("٣", "Must be a whole number"),
        ("9" * 5000, "Must be a whole number"),
        ("999999999", "Must be"),
    ],
)
def test_an_invalid_number_is_reported_beside_its_field(
    sign_in: SignIn, world: World, count: str, error: str
) -> None:
    settle(world.launch())
    status, page = send(sign_in("bob"), **{"count-hand": count})
    assert status == 400
    assert error in page
    assert Cluster.objects.get().generation == 1


def test_a_preview_changes_nothing(sign_in: SignIn, world: World) -> None:
    settle(world.launch())
    status, page = send(sign_in("bob"), **{"count-hand": "4", "preview": "yes"})
    assert status == 200
    assert "Adds 2 \N{MULTIPLICATION SIGN} hand" in page
    assert "does not fit" not in page
    assert Cluster.objects.get().generation == 1


def test_a_preview_says_when_it_would_not_fit(sign_in: SignIn, world: World) -> None:
    settle(world.launch())
    set_limits(world.people.acme, cpu=3000)
    assert "does not fit the limits now" in send(sign_in("bob"), **{"count-hand": "4", "preview": "yes"})[1]


def test_over_quota_the_form_keeps_its_values(sign_in: SignIn, world: World) -> None:
    settle(world.launch())
    set_limits(world.people.acme, cpu=3000)
    status, page = send(sign_in("bob"), **{"count-hand": "4"})
    assert status == 400
    assert "Short by" in page
    assert 'value="4"' in page


def test_a_resize_during_an_operation_is_refused_on_the_clusters_page(sign_in: SignIn, world: World) -> None:
    world.launch()
    answer = sign_in("bob").get(URL, follow=True)
    assert answer.redirect_chain == [("/t/acme/clusters/one", 303)]
    assert "A create is under way." in answer.content.decode()


def test_a_user_without_the_right_to_resize_gets_no_form(sign_in: SignIn, world: World) -> None:
    settle(world.launch())
    assert sign_in("carol").get(URL).status_code == 403


def test_a_fixed_number_has_no_field(sign_in: SignIn, world: World) -> None:
    settle(world.launch())
    fields = forms(sign_in("bob").get(URL), "")[0].fields
    assert "count-hand" in fields
    assert "count-head" not in fields
