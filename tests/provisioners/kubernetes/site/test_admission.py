"""A slow admission webhook delays a launch but does not make it fail."""

from pathlib import Path

import pytest

from controlplane.provisioners.kubernetes.objects import manifests, names, paths
from tests.provisioners.kubernetes.webhooks import tries, webhook
from tests.provisioners.launching import cluster, desired
from tests.provisioners.pods import pods_site

pytestmark = [pytest.mark.kube, pytest.mark.timeout(240)]

# (seconds before each answer, the API server's timeout in seconds, its failure policy)
SLOW = [(1.5, 10, "Fail"), (60.0, 10, "Ignore")]


@pytest.mark.parametrize(("seconds", "limit", "policy"), SLOW)
def test_a_launch_outlasts_a_slow_webhook(
    kubeconfig: Path, tmp_path: Path, seconds: float, limit: int, policy: str
):
    with pods_site(kubeconfig) as pods:
        client, settings = pods.client, pods.site.settings
        of = cluster(pods.site)
        slow = webhook(client, settings.installation, tmp_path, seconds=seconds, limit=limit, policy=policy)
        with slow as server:
            _, said = tries(lambda: pods.site.apply(desired(of)), 150)
            place = names.namespace(of.tenant_id)
            made = client.list(paths.pods(place), labels=manifests.of_cluster(of)).items
        assert len(made) == 1
        # The API server asks about each object once, although `apply` was called several times.
        assert server.reviewed_kinds.count("ConfigMap") == 3
        assert {line.partition(":")[0] for line in said} <= {"ADMISSION_SLOW"}
        assert all("slow.webhook.example" in line for line in said)
        assert said or seconds < limit
