"""A site with clusters keeps its Kubernetes, even if its address leads to another one."""

from typing import Any

import pytest
from django.utils import timezone

from controlplane.clusters.models import Cluster, Observation, Site
from controlplane.clusters.phases import Phase
from controlplane.clusters.services.sites import site_found, site_moves, site_put
from controlplane.provisioners.base import WrongSite
from controlplane.reconciler.cluster.reconcile_cluster import reconcile_cluster
from controlplane.reconciler.site.provisioning import provisioner_of
from controlplane.work.claim import claim
from controlplane.work.loop import RetryLater
from controlplane.work.models import Kind
from controlplane.work.wake import wake
from tenants.errors import Conflict
from tenants.models import AuditEvent
from tests.reconciler.conftest import World
from tests.reconciler.settling import settle

pytestmark = pytest.mark.django_db
HERE = {"accounts": {"provision": {"kubeconfig": "/here"}}}
THERE = {"accounts": {"provision": {"kubeconfig": "/there"}}}


def put(settings: dict[str, Any] = HERE) -> Site:
    return site_put(name="k8s", kind="kubernetes", settings=settings)


def found(site: Site, identity: str) -> Site:
    """Record the identity, as a worker does after a check of the site."""
    known = site_found(site=Site.objects.get(id=site.id), identity=identity)
    assert known is not None
    return known


def lived_in(world: World, identity: str = "home") -> Site:
    """A site with an identity and one cluster."""
    site = put()
    Site.objects.filter(id=site.id).update(identity=identity, ready_at=timezone.now())
    Cluster.objects.filter(id=world.launch().id).update(site=site)
    return Site.objects.get(id=site.id)


def test_the_identity_of_a_site_is_kept_from_its_first_observation():
    assert found(put(), "home").identity == "home"
    assert Site.objects.get().identity == "home"


def test_another_kubernetes_is_accepted_on_a_site_without_clusters():
    found(put(), "home")
    assert (found(put(), "new").identity, Site.objects.get().changed) == ("new", False)


def test_another_kubernetes_is_refused_on_a_site_with_clusters(world: World):
    site = found(lived_in(world), "foreign")
    assert (site.identity, site.changed) == ("home", True)
    with pytest.raises(WrongSite, match="SITE_CHANGED"):
        provisioner_of(site)


def test_a_site_that_is_the_old_one_again_is_used_again(world: World):
    site = lived_in(world)
    assert found(site, "foreign").changed
    assert not found(site, "home").changed
    assert provisioner_of(Site.objects.get(id=site.id))


def test_an_observation_of_a_site_that_was_changed_meanwhile_is_ignored():
    read_before = put()
    put(settings=THERE)
    assert site_found(site=read_before, identity="home") is None
    assert Site.objects.get().identity == ""


def test_a_cluster_on_a_site_that_changed_is_not_gone_and_says_why(world: World):
    """The nodes look gone, so the worker observes the cluster again."""
    cluster = settle(world.launch())
    Site.objects.update(changed=True)
    Observation.objects.all().delete()
    woken(cluster)
    found = Cluster.objects.get()
    assert (found.phase, found.reason) == (Phase.READY, "SITE_CHANGED")
    assert [node.attempt for node in found.nodes.all()] == [1, 1, 1]


def woken(cluster: Cluster) -> None:
    """Run one pass over the cluster, which postpones it."""
    wake(Kind.CLUSTER, cluster.id, tenant_id=cluster.tenant_id)
    claimed = claim([Kind.CLUSTER])
    assert claimed is not None
    with pytest.raises(RetryLater):
        reconcile_cluster(claimed)


def test_a_site_with_clusters_keeps_its_kubernetes(world: World):
    lived_in(world)
    for identity in ("", "foreign"):
        with pytest.raises(Conflict, match="IN_USE"):
            site_put(name="k8s", kind="kubernetes", settings=THERE, identity=identity)
    assert Site.objects.get(name="k8s").settings == HERE


def test_a_new_address_of_the_same_kubernetes_is_accepted(world: World):
    lived_in(world)
    assert site_moves(name="k8s", settings=THERE)
    site = site_put(name="k8s", kind="kubernetes", settings=THERE, identity="home")
    assert (site.settings, site.identity) == (THERE, "home")


def test_settings_of_nodes_may_change_on_a_site_with_clusters(world: World):
    lived_in(world)
    assert not site_moves(name="k8s", settings={**HERE, "cpu_burst": 2})
    assert put(settings={**HERE, "cpu_burst": 2}).identity == "home"


def test_a_site_that_was_never_found_may_be_corrected(world: World):
    Cluster.objects.filter(id=world.launch().id).update(site=put())
    assert put(settings=THERE).settings == THERE


def test_a_site_that_is_gone_for_good_is_replaced_and_that_is_audited(world: World):
    lived_in(world)
    site = site_put(name="k8s", kind="kubernetes", settings=THERE, replace=True)
    assert (site.identity, site.ready_at, site.changed) == ("", None, False)
    assert AuditEvent.objects.get(verb="site.change").detail == {"kind": "kubernetes", "replaced": True}
