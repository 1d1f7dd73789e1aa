"""Controllers make and delete pods, on the node and on fake nodes."""

from functools import partial

import pytest

from deploy.devkube import kwok
from deploy.devkube.settings import Devkube
from tests.kube.devkube.calls import apply, of, until
from tests.kube.devkube.objects import ENDURE, pod, thing

pytestmark = [pytest.mark.kube, pytest.mark.timeout(120)]


def test_a_deployment_scales(kube: Devkube) -> None:
    template = pod("many", "two", ENDURE)
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "many"}},
        "template": {"metadata": {"labels": {"app": "many"}}, "spec": template["spec"]},
    }
    apply(kube, thing("Deployment", "many", "two", api="apps/v1", spec=spec))
    for replicas in (2, 1):
        kube.kubectl("-n", "two", "scale", "deployment/many", f"--replicas={replicas}")
        until(partial(has_running, kube, "many", replicas))
    kube.kubectl("-n", "two", "delete", "deployment", "many")


def has_running(kube: Devkube, app: str, count: int) -> bool:
    path = '.items[?(@.status.phase=="Running")].metadata.name'
    found = kube.kubectl("-n", "two", "get", "pod", "-l", f"app={app}", "-o", f"jsonpath={{{path}}}")
    return len(found.split()) == count


def test_fake_nodes_call_pods_running(kube: Devkube) -> None:
    kwok.scale(kube, 3)
    place = {"nodeSelector": {"type": "kwok"}, "tolerations": [{"key": "type", "operator": "Exists"}]}
    apply(kube, pod("fake", "two", ENDURE, **place))
    assert until(lambda: of(kube, "two/pod/fake", ".status.phase") == "Running")
    assert of(kube, "two/pod/fake", ".spec.nodeName").startswith("kwok-")
    kube.kubectl("-n", "two", "delete", "pod", "fake", "--wait=false")
    kwok.scale(kube, 0)
    until(lambda: "kwok" not in kube.kubectl("get", "nodes", "-o", "name"))
