"""Real pods with containers that a webhook added: the message names the one that keeps a node from being ready."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from controlplane.provisioners.base import ClusterRef
from controlplane.provisioners.kubernetes.observations import warnings
from controlplane.provisioners.kubernetes.provisioner import KubernetesProvisioner
from controlplane.provisioners.kubernetes.settings import Reach, SiteSettings
from tests.provisioners.kubernetes.real import FOREVER, PodNamespace, pod_namespace
from tests.provisioners.launching import IMAGE, until

pytestmark = [pytest.mark.kube, pytest.mark.timeout(180)]

PROXY: dict[str, Any] = {"name": "proxy", "image": IMAGE, "command": ["sh", "-c", FOREVER]}
NEVER = {"exec": {"command": ["false"]}}
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "a sidecar that is not ready": (
        {"first": [{**PROXY, "readinessProbe": NEVER}]},
        "the container proxy, which Slipway did not add, is not ready",
    ),
    "a sidecar that crashes": (
        {"first": [{**PROXY, "command": ["sh", "-c", "exit 3"]}]},
        "the container proxy, which Slipway did not add, does not stay up: exited with code 3",
    ),
    "a sidecar without an image": (
        {"first": [{**PROXY, "image": "localhost/nothing:1", "imagePullPolicy": "Never"}]},
        "the container proxy, which Slipway did not add, has no image: cannot pull localhost/nothing:1",
    ),
    "an init container that crashes": (
        {"initContainers": [{**PROXY, "command": ["sh", "-c", "exit 4"]}]},
        "the container proxy, which Slipway did not add, does not stay up: exited with code 4",
    ),
    "a sidecar among the init containers": (
        {"initContainers": [{**PROXY, "restartPolicy": "Always", "startupProbe": NEVER}]},
        "the container proxy, which Slipway did not add, is not ready",
    ),
    "a readiness gate": (
        {"readinessGates": [{"conditionType": "example.com/target"}]},
        "its readiness gate example.com/target is not true: ",
    ),
}


@pytest.fixture(scope="module")
def here(kubeconfig: Path) -> Iterator[PodNamespace]:
    with pod_namespace(kubeconfig) as made:
        yield made


@pytest.mark.parametrize("case", CASES)
def test_a_failing_part_that_a_webhook_added_is_named(here: PodNamespace, case: str):
    spec, message = CASES[case]
    name = here.make(f"worker-{list(CASES).index(case)}", FOREVER, **spec)
    until(lambda: here.says(name).startswith(message))


def test_a_volume_that_cannot_be_mounted_is_named(
    here: PodNamespace, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(warnings, "PATIENCE", timedelta())
    settings = SiteSettings(here.installation, {"provision": Reach(kubeconfig=str(kubeconfig))})
    site, of = KubernetesProvisioner(settings), ClusterRef(here.cluster_id, "one", here.tenant_id, "acme")
    mounting = {**PROXY, "volumeMounts": [{"name": "conf", "mountPath": "/conf"}]}
    volumes = [{"name": "conf", "configMap": {"name": "nothing"}}]
    here.make("mounts-0", FOREVER, first=[mounting], volumes=volumes)

    def problem() -> str:
        [node] = [node for node in site.look(of, ()).nodes if node.name == "mounts-0"]
        return f"{node.reason}: {node.message}"

    until(
        lambda: (
            problem().startswith("FAILED_MOUNT: MountVolume.SetUp failed for volume")
            and "nothing" in problem()
        )
    )
