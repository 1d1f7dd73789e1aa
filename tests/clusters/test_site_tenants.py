"""A site can be limited to some tenants; other tenants do not see it."""

import pytest

from controlplane.clusters.models import Cluster, Site
from controlplane.clusters.phases import Phase
from controlplane.clusters.services import (
    cluster_create,
    cluster_delete,
    cluster_resize,
    cluster_start,
    cluster_stop,
)
from controlplane.clusters.services.create import ClusterRequest
from controlplane.clusters.services.sites import site_allow
from controlplane.clusters.sites import require_allowed
from tenants.errors import Conflict, Invalid, NotFound
from tenants.models import AuditEvent
from tests import launchable
from tests.reconciler.conftest import World
from tests.reconciler.settling import settle

pytestmark = pytest.mark.django_db


def launched_on(site: str, world: World) -> Cluster:
    return cluster_create(access=world.bob, name="two", request=ClusterRequest("pair", {}, {}, site=site))


def test_a_site_is_open_to_all_tenants_by_default(world: World):
    assert launched_on("fake", world).site.name == "fake"


def test_a_site_of_other_tenants_is_unknown(world: World):
    launchable.a_site("second")
    site_allow(name="second", tenants=["globex"])
    refusals = []
    for name in ("second", "nowhere"):
        with pytest.raises(Invalid) as caught:
            launched_on(name, world)
        refusals.append(caught.value.errors)
    assert refusals[0] == refusals[1]
    assert "there is: fake." in str(refusals[0])


def test_a_tenant_with_one_allowed_site_launches_there(world: World):
    launchable.a_site("another")
    site_allow(name="another", tenants=["globex"])
    assert launched_on("", world).site.name == "fake"
    site_allow(name="another", tenants=["acme"])
    site_allow(name="fake", tenants=["globex"])
    Cluster.objects.update(phase=Phase.DELETED)
    assert launched_on("", world).site.name == "another"


def test_a_tenant_without_an_allowed_site_launches_nothing(world: World):
    site_allow(name="fake", tenants=["globex"])
    with pytest.raises(Invalid, match="no site yet"):
        world.launch()


def test_clusters_stay_on_a_site_that_their_tenant_lost(world: World):
    cluster = settle(world.launch())
    site_allow(name="fake", tenants=["globex"])
    assert settle(cluster_stop(access=world.bob, cluster="one")).phase == Phase.STOPPED
    with pytest.raises(Conflict, match="SITE_NOT_ALLOWED"):
        require_allowed(Site.objects.get(), cluster.tenant_id)
    assert settle(cluster_delete(access=world.bob, cluster="one")).phase == Phase.DELETED


def test_a_site_can_be_opened_to_all_tenants_again(world: World):
    site_allow(name="fake", tenants=["globex"])
    site_allow(name="fake", tenants=None)
    assert world.launch()
    recorded = AuditEvent.objects.filter(verb="site.allow").order_by("id").values_list("target", "detail")
    assert list(recorded) == [("site/fake", {"tenants": ["globex"]}), ("site/fake", {"everyone": True})]


def test_only_existing_tenants_can_be_allowed(world: World):
    for tenants in (["initech"], []):
        with pytest.raises(Invalid):
            site_allow(name="fake", tenants=tenants)
    with pytest.raises(NotFound):
        site_allow(name="nowhere", tenants=["acme"])
    assert Site.objects.get().everyone


def test_a_cluster_is_not_started_on_a_site_that_its_tenant_lost(world: World):
    settle(world.launch())
    settle(cluster_stop(access=world.bob, cluster="one"))
    site_allow(name="fake", tenants=["globex"])
    with pytest.raises(Conflict, match="SITE_NOT_ALLOWED"):
        cluster_start(access=world.bob, cluster="one")
    site_allow(name="fake", tenants=["acme"])
    assert settle(cluster_start(access=world.bob, cluster="one")).phase == Phase.READY


def test_a_cluster_does_not_grow_on_a_site_that_its_tenant_lost(world: World):
    settle(world.launch())
    site_allow(name="fake", tenants=["globex"])
    with pytest.raises(Conflict, match="SITE_NOT_ALLOWED"):
        cluster_resize(access=world.bob, cluster="one", groups={"hand": {"count": 3}})
    smaller = cluster_resize(access=world.bob, cluster="one", groups={"hand": {"count": 1}})
    assert settle(smaller).phase == Phase.READY
