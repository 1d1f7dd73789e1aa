"""The plan of a removal names the links that it would replace."""

from controlplane.clusters.models import Cluster
from tenants.models import AuditEvent
from tests.api.conftest import World

OF_ONE = {"tenant": "acme", "cluster": "one", "owner": "bob", "pages": ["page"]}


def test_the_plan_of_a_members_removal_names_their_clusters_and_keeps_the_member(world: World) -> None:
    world.ready()
    before = AuditEvent.objects.count()
    plan = world.alice.delete("members/bob?validate_only=true")
    assert (plan.status, plan.body) == (200, {"plan": {"closes": [OF_ONE]}})
    assert world.bob.get("clusters/one").status == 200
    assert (AuditEvent.objects.count(), Cluster.objects.get().link_version) == (before, 0)


def test_the_plan_of_a_revoked_share_names_its_cluster_and_keeps_the_share(world: World) -> None:
    world.ready()
    world.bob.put("clusters/one/shares/dave")
    plan = world.bob.delete("clusters/one/shares/dave?validate_only=true")
    assert (plan.status, plan.body) == (200, {"plan": {"closes": [OF_ONE]}})
    assert world.bob.delete("clusters/one/shares/dave").status == 204
    assert Cluster.objects.get().link_version == 1


def test_the_plan_is_empty_for_a_member_without_links(world: World) -> None:
    world.ready()
    assert world.alice.delete("members/dave?validate_only=true").body == {"plan": {"closes": []}}


def test_a_plan_is_refused_as_the_removal_would_be(world: World) -> None:
    refusals = [
        world.bob.delete("members/dave?validate_only=true").reason,
        world.alice.delete("members/unknown?validate_only=true").reason,
        world.alice.delete("members/alice?validate_only=true").reason,
    ]
    assert refusals == ["NEEDS_ROLE", "NO_SUCH_MEMBER", "LAST_ADMIN"]
