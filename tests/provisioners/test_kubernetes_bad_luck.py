"""Failures of a Kubernetes site that are no tenant's fault: messages name them, and clusters recover from them."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from controlplane.provisioners.base import Desired, NodeObservation, Temporary, TenantMissing
from controlplane.provisioners.kubernetes.objects import names, paths
from templates.schema import Runtime
from tests.kube.cluster import kubeconfig
from tests.provisioners.launching import EACH, app, cluster, desired, make_ready, states, until, with_attempt
from tests.provisioners.pods import Pods, pods_site

__all__ = ["kubeconfig"]

pytestmark = [pytest.mark.kube, pytest.mark.timeout(240)]


@pytest.fixture
def here(kubeconfig: Path) -> Iterator[Pods]:
    with pods_site(kubeconfig, image_pull_policy="Never") as made:
        yield made


def without_storage(wish: Desired) -> Desired:
    each = replace(EACH, storage=0)
    groups = tuple(replace(group, each=each) for group in wish.launch.groups)
    nodes = tuple(replace(node, each=each) for node in wish.nodes)
    return replace(wish, launch=replace(wish.launch, groups=groups), nodes=nodes)


def only(here: Pods, wish: Desired) -> NodeObservation:
    [node] = here.site.look(wish.cluster, ()).nodes
    return node


def said(here: Pods, wish: Desired, reason: str) -> str:
    """Waits until the only node has this reason, and returns its message."""
    return until(lambda: only(here, wish).message if only(here, wish).reason == reason else "")


def test_an_image_that_does_not_exist_is_named(here: Pods):
    body = replace(app(), runtimes=(Runtime("plain", image="localhost/no-such:1"),))
    wish = desired(cluster(here.site), body=body)
    here.site.apply(wish)
    assert "localhost/no-such:1" in said(here, wish, "IMAGE_PULL")
    assert states(here.site, wish.cluster) == {("worker-0", 1): "waiting"}


def test_a_volume_that_never_binds_is_named(kubeconfig: Path):
    with pods_site(kubeconfig, image_pull_policy="Never", storage_class="nowhere") as here:
        wish = desired(cluster(here.site))
        here.site.apply(wish)
        assert "volume" in said(here, wish, "VOLUME_PENDING")
        assert states(here.site, wish.cluster) == {("worker-0", 1): "waiting"}


def test_an_apply_beyond_the_quota_is_retried_later(here: Pods):
    wish = desired(cluster(here.site), 2)
    place = names.namespace(wish.cluster.tenant_id)
    full = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "full"},
        "spec": {"hard": {"pods": "0"}},
    }
    here.client.create(paths.quotas(place), full)
    until(lambda: (here.client.get(paths.quotas(place, "full")) or {})["status"].get("hard"))
    with pytest.raises(Temporary, match="SITE_QUOTA"):
        here.site.apply(wish)
    assert here.site.look(wish.cluster, ()).exists
    assert states(here.site, wish.cluster) == {}
    here.client.delete(paths.quotas(place, "full"))
    until(lambda: not _refused(here, wish))
    until(lambda: set(states(here.site, wish.cluster).values()) == {"ready"})


def _refused(here: Pods, wish: Desired) -> bool:
    try:
        here.site.apply(wish)
    except Temporary:
        return True
    return False


def test_a_namespace_that_was_deleted_by_hand_is_created_again(here: Pods):
    wish = desired(cluster(here.site))
    make_ready(here.site, wish)
    spaces, place = here.site.accounts.client("namespaces"), names.namespace(wish.cluster.tenant_id)
    spaces.delete(paths.namespaces(place))
    with pytest.raises(Temporary, match="NAMESPACE_GOING"):
        here.site.apply(desired(wish.cluster, 2, generation=2))
    until(lambda: spaces.get(paths.namespaces(place)) is None)
    assert not here.site.look(wish.cluster, ()).exists
    with pytest.raises(TenantMissing):
        here.site.apply(wish)
    here.site.ensure_tenant(wish.cluster.tenant_id, wish.cluster.tenant, {})
    make_ready(here.site, wish)


@contextmanager
def machine(here: Pods, kind: str) -> Iterator[str]:
    """A machine that reports that it is ready, but never runs a pod."""
    name = f"dies-{secrets.token_hex(4)}"
    room = {"cpu": "4", "memory": "8Gi", "pods": "10", "ephemeral-storage": "100Gi"}
    ready = {"type": "Ready", "status": "True", "reason": "Made", "message": "", "lastHeartbeatTime": None}
    body = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"slipway-test": kind}},
        "status": {"capacity": room, "allocatable": room, "conditions": [ready]},
    }
    here.client.create(paths.nodes(), body)
    try:
        yield name
    finally:
        here.client.delete(paths.nodes(name))


def test_a_node_of_a_removed_machine_is_created_again_elsewhere(kubeconfig: Path):
    kind = secrets.token_hex(4)
    with pods_site(kubeconfig, node_selector={"slipway-test": kind}) as here, machine(here, kind) as name:
        wish = without_storage(desired(cluster(here.site)))
        here.site.apply(wish)
        until(lambda: "scheduled" in only(here, wish).stages)
        here.client.delete(paths.nodes(name))
        assert states(here.site, wish.cluster) == {("worker-0", 1): "waiting"}
        until(lambda: not states(here.site, wish.cluster), seconds=120)
        here.site.apply(with_attempt(wish, 2))
        assert "no machine" in said(here, wish, "UNSCHEDULABLE")
        assert states(here.site, wish.cluster) == {("worker-0", 2): "waiting"}
