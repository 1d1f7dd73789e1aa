"""Clusters on real pods while Slipway is off, its worker is suspended, or the kubelet of their machine is."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controlplane.provisioners.kubernetes.client.client import PAGE
from deploy.devkube.settings import Devkube
from tests.journeys.pods import Pods
from tests.journeys.service import Slipway, read_proc, wait_for
from tests.kube.audit import Audit, devkube_for

pytestmark = [pytest.mark.kube, pytest.mark.timeout(600)]

SMALL = {"master": {"cpu": "250m"}, "worker": {"cpu": "500m"}}
CLUSTERS = "/tenants/demo/clusters"
AWAY_SECONDS = 120.0
# Longer than any pause between two calls of a worker that has work.
QUIET_SECONDS = 5.0


@pytest.fixture
def devkube(on_pods: Slipway) -> Devkube:
    return devkube_for("an outage")


@pytest.fixture
def audit(devkube: Devkube) -> Audit:
    return Audit(devkube.audit_log)


def test_clusters_run_on_while_slipway_is_off_and_nothing_is_written_when_it_is_back(
    on_pods: Slipway, pods: Pods, audit: Audit
) -> None:
    cluster = on_pods.launch("endures", "spark", site="k8s", groups=SMALL)
    before, place = pods.containers(cluster), pods.namespace(cluster)
    assert audit.writes()
    audit.begin()
    with switched_off(on_pods):
        unchanged_for(AWAY_SECONDS, lambda: pods.containers(cluster) == before)
        assert audit.deletions(place) == []
        audit.begin()
    wait_for("listing of the site", lambda: any(is_listing(call) for call in audit.ours()), every=0.5)
    wait_for("rest", Stillness(audit).lasts, every=0.5)
    assert audit.writes() == []
    assert on_pods.cluster("endures")["phase"] == "ready"
    assert pods.containers(cluster) == before
    on_pods.delete("endures")
    assert audit.deletions(place)


def test_a_silent_machine_is_reported_and_its_nodes_are_kept(
    on_pods: Slipway, pods: Pods, devkube: Devkube
) -> None:
    cluster = on_pods.launch("faithful", "notebook", site="k8s")
    before = pods.containers(cluster)
    with silent_machine(devkube):
        wait_for(
            "reason MACHINE_SILENT",
            lambda: on_pods.cluster("faithful")["reason"] == "MACHINE_SILENT",
            seconds=90,
        )
        found = on_pods.cluster("faithful")
        assert f"its machine {devkube.name} does not answer" in found["message"]
        assert found["phase"] in {"ready", "starting"}
        assert pods.containers(cluster) == before
    on_pods.wait("faithful", "ready", seconds=60)
    assert pods.containers(cluster) == before
    on_pods.delete("faithful")


def test_a_worker_suspended_during_a_start_leaves_nothing_of_the_stopped_cluster(
    on_pods: Slipway, pods: Pods, audit: Audit
) -> None:
    cluster = on_pods.post(CLUSTERS, {"name": "sleeper", "template": "notebook", "site": "k8s"})
    wait_for("first calls for it", audit.writes, every=0.1)
    with on_pods.another_worker():
        with on_pods.paused("worker"):
            assert on_pods.cluster("sleeper")["phase"] in {"pending", "starting"}
            on_pods.post(f"{CLUSTERS}/sleeper:stop")
            on_pods.wait("sleeper", "stopped", seconds=90)
        wait_for("rest", Stillness(audit).lasts, every=0.5)
        assert not pods.of(cluster)
        on_pods.delete("sleeper")
    mine = cluster["id"].replace("-", "")
    wait_for("nothing", lambda: not [item for item in pods.everything() if mine in item[2]], every=1)


@contextmanager
def switched_off(service: Slipway) -> Iterator[None]:
    """Stop Slipway, check that no process of it is left, and start it again at the end."""
    assert service.processes()
    service.down()
    try:
        assert not service.processes()
        yield
    finally:
        service.up()


def unchanged_for(seconds: float, holds: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert holds()
        time.sleep(2)


def is_listing(call: str) -> bool:
    """Whether the call lists all pods; a watch begins with a list of one, to learn the resource version."""
    return " list /api/v1/pods?" in call and f"limit={PAGE}" in call


class Stillness:
    """Measures for how long Slipway has made no call."""

    def __init__(self, audit: Audit) -> None:
        self._audit, self._calls, self._since = audit, -1, time.monotonic()

    def lasts(self) -> bool:
        calls = len(self._audit.ours())
        if calls != self._calls:
            self._calls, self._since = calls, time.monotonic()
        return time.monotonic() - self._since >= QUIET_SECONDS


@contextmanager
def silent_machine(kube: Devkube) -> Iterator[None]:
    """Suspend the kubelet of the machine; its pods keep running."""
    pid = _kubelet(kube)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _kubelet(kube: Devkube) -> int:
    option = f"--config={kube.state}/config/kubelet.yaml".encode()
    lines = {
        int(entry.name): read_proc(entry, "cmdline").split(b"\0") for entry in Path("/proc").glob("[0-9]*")
    }
    [pid] = [pid for pid, words in lines.items() if words[0].endswith(b"kubelet") and option in words]
    return pid
