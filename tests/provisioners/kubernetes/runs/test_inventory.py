"""The listing of all clusters on a site, and the leftovers that it deletes."""

from datetime import UTC, datetime

import pytest

from controlplane.provisioners.base import (
    ClusterRef,
    DriftedTenant,
    FoundCluster,
    NotYet,
    Temporary,
    TenantMissing,
)
from controlplane.provisioners.kubernetes.objects import names, paths
from controlplane.provisioners.kubernetes.provisioner import KubernetesProvisioner
from tests.provisioners.kubernetes.memory import Call, MemoryAccounts, MemoryApi
from tests.provisioners.kubernetes.rendered import SETTINGS
from tests.provisioners.launching import cluster, desired, listed


@pytest.fixture
def api() -> MemoryApi:
    return MemoryApi()


@pytest.fixture
def site(api: MemoryApi) -> KubernetesProvisioner:
    return KubernetesProvisioner(SETTINGS, MemoryAccounts(api))


def found(site: KubernetesProvisioner) -> dict[str, int]:
    """Returns the number of nodes by cluster id."""
    return {str(item.cluster_id): len(item.observed.nodes) for item in listed(site)}


def launched(site: KubernetesProvisioner) -> ClusterRef:
    of = cluster(site)
    site.apply(desired(of, 2))
    return of


def test_running_and_stopped_clusters_are_found(site: KubernetesProvisioner):
    running, stopped = launched(site), launched(site)
    site.end_run(stopped, 1)
    assert found(site) == {str(running.id): 2, str(stopped.id): 0}


def test_a_listing_observes_the_volumes_that_a_look_observes(site: KubernetesProvisioner, api: MemoryApi):
    of, _ = launched(site), launched(site)
    api.of_kind("persistentvolumeclaims")[0]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    [observed] = [item.observed for item in listed(site) if item.cluster_id == of.id]
    assert observed == site.look(of, ())
    assert len(observed.volumes) == 1


def test_a_leftover_that_cannot_be_deleted_hides_no_cluster(site: KubernetesProvisioner, api: MemoryApi):
    of, held = launched(site), launched(site)
    root = paths.config_maps(names.namespace(held.tenant_id), names.run_root(held.id, 1))
    kept = api.objects[root]
    for each in (of, held):
        site.end_run(each, 1)
    api.objects[root] = kept

    def refuse(call: Call) -> None:
        if call == ("delete", root):
            raise NotYet("SITE_FORBIDS", "no")

    api.before = refuse
    listed: list[FoundCluster | DriftedTenant] = []
    with pytest.raises(Temporary, match="SITE_FORBIDS"):
        listed.extend(site.list_all())
    assert {item.cluster_id for item in listed if isinstance(item, FoundCluster)} == {of.id, held.id}


def test_a_tombstone_is_deleted_after_its_lifetime(site: KubernetesProvisioner, api: MemoryApi):
    of = launched(site)
    site.remove(of)
    stone = paths.leases(names.namespace(of.tenant_id), names.cluster_root(of.id))
    api.objects[stone]["metadata"]["creationTimestamp"] = datetime.now(UTC).isoformat()
    assert found(site) == {}
    assert stone in api.objects
    api.objects[stone]["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    assert found(site) == {}
    assert stone not in api.objects


def test_objects_with_invalid_labels_are_ignored(site: KubernetesProvisioner, api: MemoryApi):
    launched(site)
    for body in api.of_kind("pods") + api.of_kind("configmaps") + api.of_kind("persistentvolumeclaims"):
        body["metadata"]["labels"][names.CLUSTER] = "spoilt"
    assert found(site) == {}


def test_a_terminating_namespace_does_not_stop_the_listing(site: KubernetesProvisioner, api: MemoryApi):
    of, leaving = launched(site), launched(site)
    place = names.namespace(leaving.tenant_id)
    api.objects[paths.namespaces(place)]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    def refuse(call: Call) -> None:
        if place in call[1]:
            raise NotYet("SITE_FORBIDS", "our bindings have gone already")

    api.before = refuse
    assert found(site) == {str(of.id): 2, str(leaving.id): 2}


def test_leftovers_of_an_ended_run_are_deleted(site: KubernetesProvisioner, api: MemoryApi):
    of = launched(site)
    root = paths.config_maps(names.namespace(of.tenant_id), names.run_root(of.id, 1))
    kept = api.objects[root]
    site.end_run(of, 1)
    api.objects[root] = kept
    assert found(site) == {str(of.id): 0}
    assert root not in api.objects


def test_a_pod_in_an_unknown_namespace_is_ignored(site: KubernetesProvisioner, api: MemoryApi):
    launched(site)
    for body in api.of_kind("pods"):
        body["metadata"]["namespace"] = "elsewhere"
    assert set(found(site).values()) == {0}


def test_a_cluster_whose_namespace_is_gone_does_not_exist(site: KubernetesProvisioner, api: MemoryApi):
    of = launched(site)
    place = names.namespace(of.tenant_id)
    for path in [path for path in api.objects if place in path]:
        del api.objects[path]

    def refuse(call: Call) -> None:
        if f"namespaces/{place}/" in call[1]:
            raise NotYet("SITE_FORBIDS", "no binding here")

    api.before = refuse
    assert not site.look(of, ()).exists
    site.end_run(of, 1)
    site.remove(of)
    with pytest.raises(TenantMissing):
        site.apply(desired(of, 2))


def test_the_number_of_calls_does_not_grow_with_the_tenants(site: KubernetesProvisioner, api: MemoryApi):
    counts = []
    for more in (1, 20):
        for _ in range(more):
            launched(site)
        before = len(api.calls)
        list(site.list_all())
        counts.append(len(api.calls) - before)
        assert {verb for verb, _ in api.calls[before:]} == {"list"}
    assert counts[0] == counts[1] < 20
