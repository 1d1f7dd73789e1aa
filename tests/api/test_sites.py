"""Sites in the API."""

from datetime import UTC, datetime

import pytest

from controlplane.clusters.models import Site
from tests.api.api import ACME, ROOT
from tests.api.conftest import World

SITE = {
    "name": "k8s",
    "kind": "kubernetes",
    "settings": {"accounts": {"provision": {"kubeconfig": "/secret"}}},
}


def sites(world: World) -> dict[str, dict[str, object]]:
    return {item["name"]: item for item in world.bob.get(f"{ROOT}/sites").body["items"]}


def test_a_site_is_shown_with_what_is_known_of_it(world: World) -> None:
    proved = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    Site.objects.create(**SITE, ready=True, isolation="proved", proof="Holds: all.", proved_at=proved)
    found = sites(world)["k8s"]
    assert (found["kind"], found["ready"], found["isolation"]) == ("kubernetes", True, "proved")
    assert (found["proof"], found["proved_at"]) == ("", "2026-01-02T03:04:00Z")
    [found] = [item for item in world.root.get(f"{ROOT}/sites").body["items"] if item["name"] == "k8s"]
    assert found["proof"] == "Holds: all."


@pytest.mark.parametrize("ready", [True, False])
def test_only_site_admins_see_details_of_a_sites_problem(world: World, ready: bool) -> None:
    wrong = "CLUSTER_UNREADABLE: /srv/data/clusters/0190e5a2/meta.json cannot be read"
    Site.objects.create(**SITE, ready=ready, message=wrong)
    messages = {
        who: next(
            item["message"] for item in asker.get(f"{ROOT}/sites").body["items"] if item["name"] == "k8s"
        )
        for who, asker in {"bob": world.bob, "alice": world.alice, "root": world.root}.items()
    }
    plain = "" if ready else "The site is not ready (CLUSTER_UNREADABLE). A site admin can see why."
    assert messages == {"bob": plain, "alice": plain, "root": wrong}


def test_a_site_that_was_never_checked_is_unknown(world: World) -> None:
    Site.objects.create(**SITE)
    found = sites(world)["k8s"]
    assert (found["isolation"], found["proof"], found["proved_at"]) == ("unknown", "", None)


def test_the_settings_of_a_site_are_not_shown(world: World) -> None:
    Site.objects.create(**SITE)
    assert "/secret" not in str(sites(world))


def test_a_removed_site_is_not_shown(world: World) -> None:
    Site.objects.create(**SITE, removed_at=datetime(2026, 1, 2, tzinfo=UTC))
    assert "k8s" not in sites(world)


def test_a_site_is_known_to_those_whose_tenants_may_launch_there(world: World) -> None:
    site = Site.objects.create(**SITE, everyone=False)
    site.tenants.set([world.people.globex])
    assert "k8s" not in sites(world)
    for who in (world.charlie, world.root):
        assert "k8s" in {item["name"] for item in who.get(f"{ROOT}/sites").body["items"]}


def test_a_launch_on_a_site_of_other_tenants_is_answered_as_on_an_unknown_site(world: World) -> None:
    Site.objects.create(**SITE, everyone=False)
    answers = [
        world.bob.post(f"{ACME}/clusters", {"name": "one", "template": "pair", "site": site})
        for site in ("k8s", "nowhere")
    ]
    assert [(answer.status, answer.pointers) for answer in answers] == [(400, ["/site"])] * 2
    assert answers[0].body["errors"] == answers[1].body["errors"]
    assert "k8s" not in str(answers[0].body)
