"""Links to pages are replaced when a user loses the right to open them."""

from collections.abc import Callable

import pytest

from controlplane.clusters import rights
from controlplane.clusters.access import opens_pages
from controlplane.clusters.models import Cluster, ClusterShare, Site
from controlplane.clusters.secrets import keys_of, page_secret, run_secret
from controlplane.clusters.services import cluster_share, cluster_stop, cluster_unshare
from tenants.access import Access, tenant_for
from tenants.actors import actor_for
from tenants.errors import Conflict
from tenants.models import User
from tenants.services import (
    member_put,
    member_remove,
    password_reset,
    sessions_end,
    user_delete,
    user_disable,
)
from tests.launchable import an_app
from tests.reconciler.conftest import World
from tests.reconciler.settling import later, settle, site


def entered(user: User) -> Access:
    return tenant_for(actor_for(user), "acme")


def link(cluster: Cluster) -> str:
    cluster.refresh_from_db()
    return page_secret(cluster, "page")


LOSSES: dict[str, Callable[[World], object]] = {
    "removed": lambda world: member_remove(access=world.alice, username="bob"),
    "made a viewer": lambda world: member_put(access=world.alice, username="bob", role="viewer"),
    "disabled": lambda world: user_disable(actor=actor_for(world.people.root), username="bob"),
    "deleted": lambda world: user_delete(actor=actor_for(world.people.root), username="bob"),
    "password reset": lambda world: password_reset(actor=actor_for(world.people.root), username="bob"),
    "sessions ended": lambda world: sessions_end(actor=actor_for(world.people.bob)),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_losing_the_right_to_a_page_replaces_its_links(world: World, loss: Callable[[World], object]) -> None:
    cluster = settle(world.launch())
    before = link(cluster)
    loss(world)
    assert link(cluster) != before
    cluster = settle(cluster)
    assert (cluster.phase, cluster.link_version_given) == ("ready", 1)
    assert site(cluster).secrets(cluster.id) == keys_of(cluster, an_app())


def test_revoking_a_share_replaces_only_the_links_of_its_cluster(world: World) -> None:
    shared, other = settle(world.launch()), settle(world.launch("two"))
    cluster_share(access=world.bob, cluster="one", username="alice")
    links = link(shared), link(other)
    cluster_unshare(access=world.bob, cluster="one", username="alice")
    assert (link(shared) != links[0], link(other) == links[1]) == (True, True)


def test_removing_a_member_replaces_the_links_of_clusters_shared_with_them(world: World) -> None:
    cluster = settle(world.launch())
    member_put(access=world.alice, username="carol", role="member")
    cluster_share(access=world.bob, cluster="one", username="carol")
    before = link(cluster)
    member_remove(access=world.alice, username="carol")
    assert link(cluster) != before
    assert not ClusterShare.objects.exists()


def test_a_role_that_still_opens_pages_replaces_no_link(world: World) -> None:
    cluster = settle(world.launch())
    member_put(access=world.alice, username="bob", role="admin")
    member_put(access=world.alice, username="bob", role="member")
    assert Cluster.objects.get(id=cluster.id).link_version == 0


def test_keys_between_nodes_stay_when_links_are_replaced(world: World) -> None:
    cluster = settle(world.launch())
    before = run_secret(cluster, "spark")
    member_remove(access=world.alice, username="bob")
    cluster.refresh_from_db()
    assert run_secret(cluster, "spark") == before


@pytest.mark.parametrize("seconds", [0, 3600], ids=["starting", "failed"])
def test_links_of_a_cluster_that_is_not_ready_are_replaced_too(world: World, seconds: int) -> None:
    cluster = world.launch()
    site(cluster).unready = {"hand-1"}
    settle(cluster)
    later(seconds)
    before = settle(cluster)
    member_remove(access=world.alice, username="bob")
    after = settle(cluster)
    assert (after.phase, after.reason, after.link_version_given) == (before.phase, before.reason, 1)
    assert site(after).secrets(after.id) == keys_of(after, an_app())
    assert sorted(observation.name for observation in site(after).alive(after.id)) == [
        "hand-0",
        "hand-1",
        "head-0",
    ]


def test_a_stopped_cluster_has_no_links_to_replace(world: World) -> None:
    cluster = settle(world.launch())
    cluster_stop(access=world.bob, cluster="one")
    cluster = settle(cluster)
    member_remove(access=world.alice, username="bob")
    assert Cluster.objects.get(id=cluster.id).link_version == 0


def test_no_link_is_replaced_where_none_was_given(world: World) -> None:
    cluster = settle(world.launch())
    Site.objects.update(kind="kubernetes")
    member_remove(access=world.alice, username="bob")
    assert Cluster.objects.get(id=cluster.id).link_version == 0


def test_a_request_authorised_before_the_loss_gets_no_new_link(world: World) -> None:
    late = entered(world.people.bob)
    assert opens_pages(late)
    member_remove(access=world.alice, username="bob")
    assert not opens_pages(late)


def test_a_plan_names_the_links_that_it_would_replace_and_changes_nothing(world: World) -> None:
    cluster = settle(world.launch())

    def remove() -> None:
        member_remove(access=world.alice, username="bob")

    [found] = rights.rehearse(remove, username="bob", tenant_id=world.people.acme.pk)
    assert (found.cluster.name, found.pages) == ("one", ("page",))
    assert Cluster.objects.get(id=cluster.id).link_version == 0
    assert entered(world.people.bob)


def test_a_plan_is_refused_as_the_change_would_be(world: World) -> None:
    def remove() -> None:
        member_remove(access=world.alice, username="alice")

    with pytest.raises(Conflict, match="LAST_ADMIN"):
        rights.rehearse(remove, username="alice", tenant_id=world.people.acme.pk)
