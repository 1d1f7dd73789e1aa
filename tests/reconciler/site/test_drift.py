"""Objects that were changed or deleted on a site are repaired and audited; the proof is revoked."""

from typing import Any

import pytest

from controlplane.clusters.models import Cluster, Site
from controlplane.clusters.services import cluster_stop
from controlplane.provisioners.base import Drift, DriftKind, Permanent, Temporary
from controlplane.reconciler.site.inventory import compare
from tenants.models import AuditEvent
from tests.reconciler.conftest import World
from tests.reconciler.settling import later, one_pass, reload, settle, site

POLICY = Drift("NetworkPolicy", "c-1-r1", DriftKind.DELETED)
QUOTA = Drift("ResourceQuota", "slipway", DriftKind.CHANGED)


def listed(cluster: Cluster) -> None:
    # Later than the action that created the objects.
    later(60)
    compare(reload(cluster.id).site, site(cluster))


def audited() -> list[tuple[str, Any]]:
    rows = AuditEvent.objects.filter(verb="site.repair").order_by("id")
    return [(row.target, row.detail["found"]) for row in rows]


def proved(cluster: Cluster) -> Site:
    Site.objects.filter(id=cluster.site_id).update(isolation="proved", proof="tried")
    return Site.objects.get(id=cluster.site_id)


def test_objects_of_a_cluster_are_restored_while_its_nodes_live(world: World) -> None:
    cluster = settle(world.launch())
    attempts = dict(cluster.nodes.values_list("name", "attempt"))
    site(cluster).drift[cluster.id] = (POLICY,)
    listed(cluster)
    cluster = settle(cluster)
    assert (site(cluster).drift, cluster.drift, cluster.phase) == ({}, [], "ready")
    assert dict(cluster.nodes.values_list("name", "attempt")) == attempts
    kinds = set(cluster.events.values_list("kind", flat=True))
    assert {"DRIFT_FOUND", "DRIFT_REPAIRED"} <= kinds


def test_a_cluster_names_its_drift_until_it_is_repaired(world: World) -> None:
    cluster = settle(world.launch())
    fake = site(cluster)
    fake.drift[cluster.id] = (POLICY,)

    def refuse(name: str) -> None:
        if name == "apply":
            raise Temporary("SITE_BUSY", "later", delay=60)

    fake.before_call = refuse
    listed(cluster)
    one_pass()
    degraded = next(each for each in reload(cluster.id).conditions if each["type"] == "Degraded")
    assert (degraded["status"], degraded["reason"]) == (True, "DRIFTED")
    assert "NetworkPolicy c-1-r1 was deleted outside Slipway" in degraded["message"]


def test_drift_is_audited_and_revokes_the_proof_of_isolation(world: World) -> None:
    cluster = settle(world.launch())
    proved(cluster)
    site(cluster).drift[cluster.id] = (POLICY,)
    listed(cluster)
    assert audited() == [("cluster/one", ["NetworkPolicy c-1-r1 was deleted outside Slipway"])]
    place = Site.objects.get(id=cluster.site_id)
    assert (place.isolation, place.proved_at) == ("unknown", None)
    assert "site check" in place.proof


def test_a_quota_says_nothing_about_isolation(world: World) -> None:
    cluster = settle(world.launch())
    proved(cluster)
    site(cluster).fence_differs[cluster.tenant_id] = (QUOTA,)
    listed(cluster)
    assert audited() == [("tenant/acme", ["ResourceQuota slipway was changed outside Slipway"])]
    assert Site.objects.get(id=cluster.site_id).isolation == "proved"


def test_drift_that_cannot_be_repaired_revokes_the_proof_and_is_reported(world: World) -> None:
    cluster = settle(world.launch())
    proved(cluster)
    fake = site(cluster)
    fake.fence_differs[cluster.tenant_id] = (POLICY,)

    def refuse(name: str) -> None:
        if name == "ensure_tenant":
            raise Permanent("SITE_REJECTS", "a webhook denied it")

    fake.before_call = refuse
    with pytest.raises(Permanent, match="SITE_REJECTS"):
        listed(cluster)
    assert Site.objects.get(id=cluster.site_id).isolation == "unknown"


def test_repairs_by_a_launch_are_audited_too(world: World) -> None:
    cluster = world.launch()
    site(cluster).fence_differs[cluster.tenant_id] = (POLICY,)
    settle(cluster)
    assert [target for target, _ in audited()] == ["tenant/acme"]


def test_a_listing_from_before_a_stop_repairs_nothing(world: World) -> None:
    cluster = settle(world.launch())
    site(cluster).drift[cluster.id] = (POLICY,)
    cluster_stop(access=world.bob, cluster="one")
    settle(cluster)
    compare(reload(cluster.id).site, site(cluster))
    assert (reload(cluster.id).drift, audited()) == ([], [])
