"""A notebook on a Kubernetes with a slow admission webhook: it starts late, and names the webhook meanwhile."""

from pathlib import Path
from typing import Any

import pytest

from controlplane.provisioners.kubernetes.objects import names, paths
from controlplane.provisioners.kubernetes.site import identity
from tests.journeys.pods import Pods
from tests.journeys.service import Slipway, wait_for
from tests.provisioners.kubernetes.webhooks import webhook

pytestmark = [pytest.mark.kube, pytest.mark.timeout(600)]

CLUSTERS = "/tenants/demo/clusters"
# (seconds until the webhook answers, timeout of the API server in seconds, failure policy)
SLOW = [(1.5, 10, "Fail"), (60.0, 10, "Ignore")]


@pytest.mark.parametrize(("seconds", "limit", "policy"), SLOW, ids=["slow", "silent"])
def test_a_notebook_becomes_ready_and_names_the_webhook_that_it_waits_for(
    on_pods: Slipway, pods: Pods, tmp_path: Path, seconds: float, limit: int, policy: str
) -> None:
    name = f"slow-{policy.lower()}"
    with webhook(
        pods.client, installation(pods), tmp_path, seconds=seconds, limit=limit, policy=policy
    ) as slow:
        on_pods.post(CLUSTERS, {"name": name, "template": "notebook", "site": "k8s"})
        said = wait_for("message about the webhook", lambda: named(on_pods, name))
        on_pods.wait(name, "ready", seconds=240)
    assert said["phase"] in {"pending", "starting"}
    assert f"slow.webhook.example (up to {limit} s, then {policy})" in said["message"]
    # Each write was made once, however many passes it took.
    assert slow.reviewed_kinds.count("Pod") == 1
    on_pods.delete(name)


def named(service: Slipway, name: str) -> dict[str, Any]:
    """The cluster, once its message names the slow webhook; {} before."""
    found = service.cluster(name)
    return found if found["reason"] == "ADMISSION_SLOW" and "It asks" in found["message"] else {}


def installation(pods: Pods) -> str:
    """The id of the installation that has claimed the Kubernetes."""
    found = pods.client.get(paths.namespaces(identity.CLAIM))
    assert found
    return str(found["metadata"]["labels"][names.INSTALLATION])
