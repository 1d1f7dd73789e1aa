"""The page of one cluster."""

import pytest

from controlplane.clusters.models import Cluster, Site
from controlplane.clusters.secrets import run_secret
from controlplane.clusters.services import cluster_share, cluster_stop
from tests.console.conftest import SignIn, World
from tests.console.reading import disabled, read
from tests.reconciler.settling import settle, site

PART = {"HX-Request": "true"}
URL = "/t/acme/clusters/one"


def text(client: object, url: str = URL, **headers: str) -> str:
    content: bytes = client.get(url, headers=headers).content  # type: ignore[attr-defined]
    return content.decode()


@pytest.fixture
def starting(world: World) -> Cluster:
    """A cluster with one node that does not become ready."""
    cluster = world.launch()
    site(cluster).unready = {"hand-1"}
    return settle(cluster)


def test_steps_are_shown_with_their_state_and_time(sign_in: SignIn, starting: Cluster) -> None:
    page = text(sign_in("bob"))
    assert "In progress: create" in page
    assert 'aria-current="step"' in page
    assert page.count(">done</span>") == 6
    assert page.count(">running</span>") == 1


def test_nodes_are_shown_with_their_state(sign_in: SignIn, starting: Cluster) -> None:
    page = text(sign_in("bob"))
    assert "2 of 3 ready" in page
    assert page.count(f"/t/acme/clusters/{starting.id}/nodes/") == 3


def test_it_refreshes_itself_by_id_while_it_moves(sign_in: SignIn, starting: Cluster) -> None:
    client = sign_in("bob")
    assert f'hx-get="{URL.rpartition("/")[0]}/{starting.id}?said=starting.ready"' in text(client)
    site(starting).get_ready(starting.id)
    settle(starting)
    assert "hx-get" not in text(client)


def test_the_page_of_a_pending_operation_refreshes_too(sign_in: SignIn, world: World) -> None:
    settle(world.launch())
    cluster_stop(access=world.bob, cluster="one")
    assert 'hx-trigger="every 2s"' in text(sign_in("bob"))


def test_only_changes_are_announced(sign_in: SignIn, starting: Cluster) -> None:
    client = sign_in("bob")
    assert "hx-swap-oob" not in text(client, f"{URL}?said=starting.ready", **PART)
    assert "one is starting: Ready to work." in text(client, f"{URL}?said=pending.admitted", **PART)
    assert "hx-swap-oob" not in text(client)


def test_an_htmx_request_gets_only_the_part(sign_in: SignIn, starting: Cluster) -> None:
    part = text(sign_in("bob"), **PART)
    assert "<html" not in part
    assert 'id="live"' in part


def test_a_ready_cluster_can_be_stopped_restarted_resized_deleted(sign_in: SignIn, world: World) -> None:
    settle(world.launch())
    page = sign_in("bob").get(URL)
    assert [disabled(page, label) for label in ("Stop", "Restart")] == [None, None]
    assert disabled(page, "Start") == "Possible when the cluster is stopped or failed."
    assert disabled(page, "Cancel") == "No operation is in progress."
    assert {"resize", "delete"} <= {link.rpartition("/")[2] for link in read(page).links}


def test_the_reason_of_a_disabled_button_is_beside_it(sign_in: SignIn, starting: Cluster) -> None:
    page = sign_in("bob").get(URL)
    assert disabled(page, "Restart") == "Possible after the create that is in progress."
    assert (
        '<p class="small muted" id="note-restart">Possible after the create that is in progress.</p>'
        in text(sign_in("bob"))
    )


def test_a_viewer_sees_everything_and_every_button_is_disabled(sign_in: SignIn, world: World) -> None:
    settle(world.launch())
    page = sign_in("carol").get(URL)
    buttons = [button for button in read(page).buttons if button.label != "Sign out"]
    assert len(buttons) == 6
    assert all(
        button.is_disabled and button.title == "This is not your cluster; needs the role admin."
        for button in buttons
    )


def test_the_page_of_a_service_opens_with_its_token(sign_in: SignIn, world: World) -> None:
    cluster = settle(world.launch())
    Site.objects.update(kind="local")
    link = f"http://127.0.0.1:8080/?token={run_secret(cluster, 'page')}"
    assert read(sign_in("bob").get(URL)).links.count(link) == 2
    assert link in read(sign_in("bob").get("/t/acme/")).links


@pytest.mark.parametrize("other", ["alice", "carol", "root"])
def test_no_role_opens_the_pages_of_others(sign_in: SignIn, world: World, other: str) -> None:
    settle(world.launch())
    Site.objects.update(kind="local")
    page = text(sign_in(other))
    assert "Opens only for the owner and those it is shared with." in page
    assert "token=" not in page


def test_a_share_opens_the_pages(sign_in: SignIn, world: World) -> None:
    settle(world.launch())
    cluster_share(access=world.bob, cluster="one", username="alice")
    Site.objects.update(kind="local")
    assert "token=" in text(sign_in("alice"))


def test_a_failure_shows_its_reason_and_a_retry(sign_in: SignIn, world: World) -> None:
    cluster = settle(world.launch())
    Cluster.objects.filter(id=cluster.id).update(
        phase="failed", reason="START_FAILED", message="<b>Broken</b>"
    )
    page = sign_in("bob").get(URL)
    assert disabled(page, "Retry") is None
    assert "START_FAILED" in page.content.decode()
    assert "&lt;b&gt;Broken&lt;/b&gt;" in page.content.decode()


def test_a_stopped_cluster_links_to_its_logs(sign_in: SignIn, world: World) -> None:
    cluster = settle(world.launch())
    cluster_stop(access=world.bob, cluster="one")
    settle(cluster)
    page = text(sign_in("bob"))
    assert "No nodes exist now." in page
    assert f"/t/acme/clusters/{cluster.id}/nodes/head-0/log" in page


def test_events_are_shown(sign_in: SignIn, world: World) -> None:
    settle(world.launch())
    assert "NODE_READY" in text(sign_in("bob"))


def test_the_drawer_has_the_call_for_this_cluster(sign_in: SignIn, world: World) -> None:
    world.launch()
    page = text(sign_in("bob"))
    assert "http://testserver/api/v1/tenants/acme/clusters/one:stop" in page


def test_requested_and_effective_configuration_are_shown(sign_in: SignIn, starting: Cluster) -> None:
    Cluster.objects.update(
        requested={
            "groups": {"hand": {"count": 3}},
            "parameters": {"level": 4},
            "preset": "fast",
            "site": "",
        },
        effective={**starting.effective, "settings": {"level": 4, "tools": False}},
    )
    page = text(sign_in("bob"))
    assert "<dt>Preset</dt><dd>fast</dd>" in page
    assert "hand count&nbsp;<code>3</code>, level&nbsp;<code>4</code>" in page
    assert "<dt>tools</dt><dd><code>false</code></dd>" in page
