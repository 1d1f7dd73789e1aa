"""The admin of the Kubernetes sets a LimitRange in a tenant's namespace that refuses all nodes."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from controlplane.clusters import operations
from controlplane.clusters.models import Cluster
from controlplane.provisioners.base import Temporary
from controlplane.provisioners.kubernetes.objects import names, paths
from tests.kube.working import Working, working
from tests.provisioners.launching import IMAGE

pytestmark = [pytest.mark.kube, pytest.mark.timeout(180)]

LIMIT = {"type": "Container", "max": {"memory": "32Mi"}}
WHY = "maximum memory usage per Container is 32Mi, but limit is 64Mi"


@pytest.fixture
def tenant(kubeconfig: Path, transactional_db: None) -> Iterator[Working]:
    with working(kubeconfig) as made:
        yield made


def test_a_cluster_that_a_limit_range_forbids_fails_at_its_deadline_with_that_reason(
    tenant: Working, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant.launch("before", hand={"count": 1})
    forbid(tenant)
    monkeypatch.setattr(operations, "DEADLINE", timedelta(seconds=5))
    cluster = tenant.begin("after", hand={"count": 1})
    tenant.until_true(lambda: Cluster.objects.get(pk=cluster).reason == "SITE_FORBIDS")
    tenant.until(cluster, "failed")
    failed = Cluster.objects.get(pk=cluster)
    operation = failed.operations.get()
    assert (failed.reason, operation.state, operation.reason) == (
        "DEADLINE_EXCEEDED",
        "failed",
        failed.reason,
    )
    assert WHY in failed.message
    assert WHY in operation.message
    assert tenant.pods(cluster) == {}


def forbid(tenant: Working) -> None:
    """Create the LimitRange and wait until the API server enforces it."""
    body = {"metadata": {"name": "of-the-admin"}, "spec": {"limits": [LIMIT]}}
    tenant.client.create(paths.limit_ranges(tenant.place), body)
    tenant.until_true(lambda: WHY in refusal(tenant))


def refusal(tenant: Working) -> str:
    """The message with which the API server refuses a pod of 64 MiB, by a dry run."""
    container = {"name": names.CONTAINER, "image": IMAGE, "resources": {"limits": {"memory": "64Mi"}}}
    body: dict[str, Any] = {"metadata": {"name": "tried"}, "spec": {"containers": [container]}}
    try:
        tenant.client.create(f"{paths.pods(tenant.place)}?dryRun=All", body)
    except Temporary as error:
        return error.message
    return ""
