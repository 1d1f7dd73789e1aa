"""The first page: its redirects for each user, and launches with one click."""

import re

import pytest

from controlplane.clusters.models import Cluster, Site
from controlplane.clusters.services import cluster_share, cluster_stop
from templates import services as templates
from tenants.actors import system_actor
from tenants.models import Membership, Tenant
from tests.cast import set_limits
from tests.console.conftest import SignIn, World
from tests.console.reading import disabled, forms, tile_of
from tests.launchable import a_site
from tests.reconciler.settling import settle


def test_the_first_page_redirects_to_the_users_tenant(sign_in: SignIn) -> None:
    answer = sign_in("bob").get("/")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/t/acme/")


def test_the_first_page_redirects_to_the_last_tenant(sign_in: SignIn, world: World) -> None:
    Membership.objects.create(tenant=world.people.globex, user=world.people.bob, role="member")
    client = sign_in("bob")
    client.get("/t/globex/")
    assert client.get("/").headers["Location"] == "/t/globex/"


def test_a_user_without_a_tenant_reads_whom_to_ask(sign_in: SignIn, world: World) -> None:
    Membership.objects.filter(user=world.people.bob).delete()
    page = sign_in("bob").get("/").content.decode()
    assert "You are in no tenant yet" in page
    assert "root" in page


def test_a_site_admin_starts_at_the_tenants(sign_in: SignIn) -> None:
    assert sign_in("root").get("/").headers["Location"] == "/tenants"


def test_one_click_launches(sign_in: SignIn) -> None:
    client = sign_in("bob")
    form = forms(client.get("/t/acme/"), "/t/acme/launch")[0]
    answer = client.post(form.action, form.fields)
    cluster = Cluster.objects.get()
    assert answer.headers["Location"] == f"/t/acme/clusters/{cluster.name}"
    assert re.fullmatch("pair-[a-z0-9]{5}", cluster.name)
    assert "is on its way" in client.get(answer.headers["Location"]).content.decode()


def test_a_click_sent_twice_launches_once(sign_in: SignIn) -> None:
    client = sign_in("bob")
    form = forms(client.get("/t/acme/"), "/t/acme/launch")[0]
    first, second = (client.post(form.action, form.fields) for _ in range(2))
    assert first.headers["Location"] == second.headers["Location"]
    assert Cluster.objects.count() == 1


def test_the_name_of_another_members_cluster_is_refused(sign_in: SignIn, world: World) -> None:
    world.launch("taken")
    client = sign_in("alice")
    answer = client.post("/t/acme/launch", {"template": "pair", "name": "taken"}, follow=True)
    assert answer.redirect_chain == [("/t/acme/", 303)]
    assert "Choose another name" in answer.content.decode()


def test_a_tile_shows_the_nodes_and_their_resources(sign_in: SignIn) -> None:
    tile = tile_of(sign_in("bob").get("/t/acme/"), "pair")
    assert "Head, 2 \N{MULTIPLICATION SIGN} Hand" in tile
    assert "2.5 CPU · 5Gi memory · 1Gi storage" in tile.replace("\N{NO-BREAK SPACE}", " ")
    assert "not launched in this tenant yet" in tile


def test_a_tile_shows_the_usual_duration(sign_in: SignIn, world: World) -> None:
    settle(world.launch())
    assert "about " in tile_of(sign_in("bob").get("/t/acme/"), "pair")


def test_a_tile_that_does_not_fit_says_why_and_what_to_stop(sign_in: SignIn, world: World) -> None:
    settle(world.launch("mine"))
    set_limits(world.people.acme, cpu=4000)
    page = sign_in("bob").get("/t/acme/")
    assert disabled(page, "Launch pair") == "The tenant holds 2.5 of 4 CPU; this needs 2.5 more."
    assert "/t/acme/clusters/mine" in tile_of(page, "pair")


def test_a_launch_over_quota_shows_the_levels_and_what_to_stop(sign_in: SignIn, world: World) -> None:
    settle(world.launch("mine"))
    set_limits(world.people.acme, cpu=4000)
    answer = sign_in("bob").post("/t/acme/launch", {"template": "pair", "name": "more"}, follow=True)
    page = answer.content.decode()
    assert "It would fit if you stopped <strong>mine</strong>" in page
    assert "Short by" in page
    assert Cluster.objects.count() == 1


def test_stopping_a_cluster_frees_its_quota(sign_in: SignIn, world: World) -> None:
    cluster = settle(world.launch("mine"))
    set_limits(world.people.acme, cpu=4000)
    cluster_stop(access=world.bob, cluster="mine")
    settle(cluster)
    assert disabled(sign_in("bob").get("/t/acme/"), "Launch pair") is None


def test_a_viewer_sees_the_tiles_but_cannot_launch(sign_in: SignIn) -> None:
    client = sign_in("carol")
    assert "needs the role member" in str(disabled(client.get("/t/acme/"), "Launch pair"))
    answer = client.post("/t/acme/launch", {"template": "pair", "name": "mine"})
    assert answer.status_code == 403
    assert "alice" in answer.content.decode()
    assert not Cluster.objects.exists()


def test_nothing_launches_in_a_suspended_tenant(sign_in: SignIn, world: World) -> None:
    Tenant.objects.filter(pk=world.people.acme.pk).update(state="suspended")
    client = sign_in("bob")
    page = client.get("/t/acme/")
    assert "This tenant is suspended" in page.content.decode()
    assert "is suspended" in str(disabled(page, "Launch pair"))
    answer = client.post("/t/acme/launch", {"template": "pair", "name": "more"}, follow=True)
    assert "A site admin can resume it." in answer.content.decode()


def test_a_withdrawn_app_cannot_be_launched(sign_in: SignIn, world: World) -> None:
    templates.app_withdraw(actor=system_actor(), name="engine", version="1.0")
    assert "was withdrawn" in str(disabled(sign_in("bob").get("/t/acme/"), "Launch pair"))


def test_without_a_site_the_tile_says_so(sign_in: SignIn, settings: object) -> None:
    settings.FAKE_SITE = False  # type: ignore[attr-defined]
    assert "no site yet" in str(disabled(sign_in("bob").get("/t/acme/"), "Launch pair"))


def test_a_template_that_is_not_there_is_not_found(sign_in: SignIn) -> None:
    answer = sign_in("bob").post("/t/acme/launch", {"template": "nothing", "name": "mine"})
    assert answer.status_code == 404


@pytest.mark.parametrize("name", ["Etl", "a", "a" * 41, "-", "<script>", "0a1b", "a\0b", "é" * 3])
def test_an_invalid_name_is_reported_on_the_page(sign_in: SignIn, name: str) -> None:
    answer = sign_in("bob").post("/t/acme/launch", {"template": "pair", "name": name}, follow=True)
    assert "Use 2 to 40 characters" in answer.content.decode()
    assert not Cluster.objects.exists()


def test_my_clusters_are_owned_or_shared_ones(sign_in: SignIn, world: World) -> None:
    world.launch("bobs")
    world.launch("shared")
    cluster_share(access=world.bob, cluster="shared", username="alice")
    page = sign_in("alice").get("/t/acme/").content.decode()
    assert "/t/acme/clusters/shared" in page
    assert "/t/acme/clusters/bobs" not in page


def test_the_part_refreshes_itself_only_while_something_moves(sign_in: SignIn, world: World) -> None:
    client = sign_in("bob")
    cluster = world.launch()
    assert 'hx-trigger="every 2s"' in client.get("/t/acme/").content.decode()
    settle(cluster)
    assert "hx-trigger" not in client.get("/t/acme/").content.decode()


def test_an_htmx_request_gets_only_the_part(sign_in: SignIn, world: World) -> None:
    world.launch("mine")
    part = sign_in("bob").get("/t/acme/", headers={"HX-Request": "true"}).content.decode()
    assert part.strip().startswith('<div id="live"')
    assert "mine" in part
    assert "Quick launch" not in part


def test_a_second_site_changes_nothing_for_the_click(sign_in: SignIn, world: World) -> None:
    a_site("other")
    sign_in("bob").post("/t/acme/launch", {"template": "pair", "name": "mine"})
    assert Cluster.objects.filter(name="mine").exists()


def machines_of(cpu: int) -> None:
    amounts = {"cpu": cpu, "memory": 2**40}
    Site.objects.update(capacity={"": {"machines": [amounts], "total": amounts}})


def test_a_tile_that_can_never_run_here_says_so(sign_in: SignIn) -> None:
    machines_of(2000)
    assert "all machines combined have 2" in str(disabled(sign_in("bob").get("/t/acme/"), "Launch pair"))


def test_a_tile_that_would_wait_for_room_says_so_and_can_be_clicked(sign_in: SignIn, world: World) -> None:
    settle(world.launch("mine"))
    machines_of(4000)
    page = sign_in("bob").get("/t/acme/")
    assert "no room for this now" in tile_of(page, "pair")
    assert disabled(page, "Launch pair") is None
