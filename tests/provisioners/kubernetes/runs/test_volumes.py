"""Volumes live as long as their nodes, and a lost volume is never replaced by an empty one without an error."""

from dataclasses import replace
from typing import Any

import pytest

from controlplane.provisioners.base import ClusterRef, Desired, Permanent, Temporary
from controlplane.provisioners.kubernetes.objects import names, paths
from controlplane.provisioners.kubernetes.objects.body import is_leaving, label
from controlplane.provisioners.kubernetes.observations.survey import survey
from controlplane.provisioners.kubernetes.provisioner import KubernetesProvisioner
from controlplane.provisioners.kubernetes.runs import roots
from tests.provisioners.kubernetes.memory import Call, MemoryAccounts, MemoryApi
from tests.provisioners.kubernetes.rendered import SETTINGS
from tests.provisioners.launching import cluster, desired, with_attempt


@pytest.fixture
def api() -> MemoryApi:
    return MemoryApi()


@pytest.fixture
def site(api: MemoryApi) -> KubernetesProvisioner:
    return KubernetesProvisioner(SETTINGS, MemoryAccounts(api))


@pytest.fixture
def of(site: KubernetesProvisioner) -> ClusterRef:
    """A cluster of three nodes, each with a volume."""
    made = cluster(site)
    site.apply(desired(made, 3))
    return made


def only(wish: Desired, *listed: str, keeps: set[str] | None = None) -> Desired:
    nodes = tuple(node for node in wish.nodes if node.name in listed)
    return replace(wish, nodes=nodes, keeps=frozenset(keeps or listed), generation=2)


def volumes(api: MemoryApi) -> set[str]:
    api.collect()
    return {label(body, names.NODE) for body in api.of_kind("persistentvolumeclaims")}


def pods(api: MemoryApi) -> set[str]:
    return {label(body, names.NODE) for body in api.of_kind("pods")}


def at(of: ClusterRef, node: str) -> str:
    return paths.volumes(names.namespace(of.tenant_id), names.volume(of.id, node))


def noted(site: KubernetesProvisioner, of: ClusterRef) -> set[str]:
    root = roots.find(site.accounts.client("provision"), SETTINGS, of)
    assert root
    return set(root.volumes or ())


def test_the_volume_of_a_removed_node_is_deleted(site: KubernetesProvisioner, api: MemoryApi, of: ClusterRef):
    site.apply(only(desired(of, 3), "worker-0"))
    assert volumes(api) == {"worker-0"}
    assert noted(site, of) == {"worker-0"}


def test_the_volume_of_a_node_that_waits_for_its_next_attempt_stays(
    site: KubernetesProvisioner, api: MemoryApi, of: ClusterRef
):
    site.apply(only(desired(of, 3), "worker-0", keeps={"worker-0", "worker-1"}))
    assert pods(api) == {"worker-0"}
    assert volumes(api) == {"worker-0", "worker-1"}
    assert noted(site, of) == {"worker-0", "worker-1"}


def test_a_replaced_node_keeps_its_volume(site: KubernetesProvisioner, api: MemoryApi, of: ClusterRef):
    before = api.objects[at(of, "worker-1")]["metadata"]["uid"]
    site.apply(with_attempt(desired(of, 3), 2))
    site.apply(with_attempt(desired(of, 3), 2))
    assert volumes(api) == pods(api) == {"worker-0", "worker-1", "worker-2"}
    assert api.objects[at(of, "worker-1")]["metadata"]["uid"] == before


def test_apply_deletes_the_volume_of_a_missing_pod_that_is_not_kept(
    site: KubernetesProvisioner, api: MemoryApi, of: ClusterRef
):
    api.drop(paths.pods(names.namespace(of.tenant_id), names.pod(of.id, "worker-2")))
    site.apply(only(desired(of, 3), "worker-0", "worker-1"))
    assert volumes(api) == {"worker-0", "worker-1"}


def test_without_a_list_of_volumes_to_keep_none_is_deleted(
    site: KubernetesProvisioner, api: MemoryApi, of: ClusterRef
):
    site.apply(replace(desired(of, 1, generation=2), keeps=None))
    assert volumes(api) == {"worker-0", "worker-1", "worker-2"}


def test_a_new_node_waits_until_the_old_volume_of_its_name_is_deleted(
    site: KubernetesProvisioner, api: MemoryApi, of: ClusterRef
):
    before = api.objects[at(of, "worker-2")]["metadata"]["uid"]
    site.apply(only(desired(of, 3), "worker-0"))
    grown = with_attempt(desired(of, 3, generation=3, has_data=True), 2)
    wish = replace(grown, nodes=(desired(of).nodes[0], *grown.nodes[1:]))
    assert is_leaving(api.objects[at(of, "worker-2")])
    site.apply(wish)
    assert pods(api) == {"worker-0"}
    api.collect()
    site.apply(wish)
    assert pods(api) == volumes(api) == {"worker-0", "worker-1", "worker-2"}
    assert api.objects[at(of, "worker-2")]["metadata"]["uid"] != before


def test_a_volume_that_is_deleted_during_apply_is_noticed(
    site: KubernetesProvisioner, api: MemoryApi, of: ClusterRef
):
    site.end_run(of, 1)
    path = at(of, "worker-1")
    kept = api.objects.pop(path)

    def appear(call: Call) -> None:
        if call == ("create", path):
            api.objects[path] = {**kept, "metadata": {**kept["metadata"], "deletionTimestamp": "now"}}

    api.before = appear
    with pytest.raises(Temporary, match="VOLUME_GOING"):
        site.apply(desired(of, 3, run=2))
    assert pods(api) == set()


def test_a_volume_whose_root_is_gone_is_not_used(site: KubernetesProvisioner, api: MemoryApi, of: ClusterRef):
    """The garbage collector is about to delete it, so a pod that mounts it would lose its data."""
    site.end_run(of, 1)
    del api.objects[paths.config_maps(names.namespace(of.tenant_id), names.cluster_root(of.id))]
    with pytest.raises(Temporary, match="VOLUME_GOING"):
        site.apply(desired(of, 3, run=2))
    api.collect()
    site.apply(desired(of, 3, run=2))
    assert pods(api) == volumes(api) == {"worker-0", "worker-1", "worker-2"}


def test_a_used_volume_must_exist_even_if_the_cluster_was_never_ready(
    site: KubernetesProvisioner, api: MemoryApi, of: ClusterRef
):
    site.end_run(of, 1)
    api.drop(at(of, "worker-0"))
    with pytest.raises(Permanent, match=r"STORAGE_LOST.*worker-0"):
        site.apply(desired(of, 3, run=2, used=frozenset({"worker-0"})))


def test_a_volume_that_was_never_used_is_created_again(
    site: KubernetesProvisioner, api: MemoryApi, of: ClusterRef
):
    site.end_run(of, 1)
    api.drop(at(of, "worker-1"))
    site.apply(desired(of, 3, run=2, used=frozenset({"worker-0"})))
    assert volumes(api) == {"worker-0", "worker-1", "worker-2"}


def test_volumes_without_the_record_of_their_cluster_are_lost(
    site: KubernetesProvisioner, api: MemoryApi, of: ClusterRef
):
    site.end_run(of, 1)
    api.drop(paths.config_maps(names.namespace(of.tenant_id), names.cluster_root(of.id)))
    with pytest.raises(Permanent, match="STORAGE_LOST"):
        site.apply(desired(of, 3, run=2, used=frozenset({"worker-0"})))


def test_a_survey_omits_volumes_that_are_being_deleted(
    site: KubernetesProvisioner, api: MemoryApi, of: ClusterRef
):
    api.objects[at(of, "worker-2")]["metadata"]["deletionTimestamp"] = "now"
    found: Any = survey(site.accounts.client("provision"), SETTINGS, of)
    assert found.with_volume == {"worker-0", "worker-1"}
