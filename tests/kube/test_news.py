"""The life of a cluster on real pods without a watch: only the listing of the site reports changes."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.clusters.phases import Verb
from controlplane.provisioners.kubernetes.objects import names, paths
from tests.kube.working import Working, working

pytestmark = [pytest.mark.kube, pytest.mark.timeout(180)]


@pytest.fixture
def tenant(kubeconfig: Path, transactional_db: None) -> Iterator[Working]:
    with working(kubeconfig) as made:
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("watch-")]
        yield made


def test_a_cluster_is_made_repaired_resized_stopped_started_and_removed(tenant: Working) -> None:
    cluster = tenant.launch("one", hand={"count": 1})
    born = tenant.pods(cluster)
    assert set(born) == {"head-0", "hand-0"}
    tenant.kill(cluster, "hand-0")
    tenant.until_true(lambda: tenant.pods(cluster).get("hand-0", born["hand-0"]) != born["hand-0"])
    tenant.until(cluster, "ready")
    tenant.ask(cluster, Verb.RESIZE, "ready", groups={"hand": {"count": 2}})
    assert set(tenant.pods(cluster)) == {"head-0", "hand-0", "hand-1"}
    tenant.ask(cluster, Verb.RESIZE, "ready", groups={"hand": {"count": 1}}, drain_seconds=5)
    assert len(tenant.pods(cluster)) == 2
    tenant.ask(cluster, Verb.STOP, "stopped")
    assert tenant.pods(cluster) == {}
    tenant.ask(cluster, Verb.START, "ready")
    assert len(tenant.pods(cluster)) == 2
    tenant.ask(cluster, Verb.DELETE, "deleted")
    left = tenant.client.list(paths.config_maps(tenant.place), labels={names.CLUSTER: str(cluster)}).items
    assert (tenant.pods(cluster), left) == ({}, [])
