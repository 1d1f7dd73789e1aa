"""A look names what keeps a real pod from being deleted."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.objects import names, paths
from controlplane.provisioners.kubernetes.observations.survey import Survey
from controlplane.provisioners.kubernetes.provisioner import KubernetesProvisioner
from controlplane.provisioners.kubernetes.runs import ending
from controlplane.provisioners.kubernetes.settings import Reach, SiteSettings
from tests.provisioners.launching import cluster, desired, make_ready, tenant_removed, until

HOLD = "example.com/hold"
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.kube
@pytest.mark.timeout(180)
def test_a_finalizer_is_named_until_it_is_removed(kubeconfig: Path):
    reach = Reach(kubeconfig=str(kubeconfig))
    site = KubernetesProvisioner(SiteSettings(uuid4().hex[:16], {"provision": reach}))
    admin = Client(reach, purpose="test")
    of = cluster(site)
    pod = paths.pods(names.namespace(of.tenant_id), names.pod(of.id, "worker-0"))
    try:
        make_ready(site, desired(of))
        admin.patch(pod, {"metadata": {"finalizers": [HOLD]}})
        site.end_run(of, 1, force=True)
        until(lambda: any(HOLD in words and "worker-0" in words for words in site.look(of, ()).stuck))
        admin.patch(pod, {"metadata": {"finalizers": None}})
        until(lambda: not site.look(of, ()).nodes)
        assert site.look(of, ()).stuck == ()
    finally:
        admin.patch(pod, {"metadata": {"finalizers": None}})
        tenant_removed(site, of.tenant_id)


def test_a_machine_that_is_gone_is_named_once_it_is_overdue():
    about = {"name": "c", "labels": {names.NODE: "worker-0"}, "deletionTimestamp": "2026-01-01T12:00:00Z"}
    found = Survey(pods=({"metadata": about, "spec": {"nodeName": "machine-3"}},))
    assert ending.stuck(found, NOW) == ()
    [words] = ending.stuck(found, NOW + timedelta(minutes=1))
    assert words.startswith("worker-0 was to be gone by 2026-01-01 12:00:00 UTC and its machine machine-3 ")
