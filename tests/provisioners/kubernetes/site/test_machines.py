"""The capacity of the machines on which nodes can run."""

from typing import Any

import pytest

from controlplane.provisioners.base import Capacity, NotYet
from controlplane.provisioners.kubernetes.provisioner import KubernetesProvisioner
from controlplane.provisioners.kubernetes.settings import SiteSettings
from tenants.amounts import Amounts
from tests.provisioners.kubernetes.memory import Call, MemoryAccounts, MemoryApi

GIB = 2**30
GPUS = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}


def site(api: MemoryApi, **settings: Any) -> KubernetesProvisioner:
    raw = {"installation": "0" * 16, "accounts": {"provision": {"kubeconfig": "/admin"}}, **settings}
    return KubernetesProvisioner(SiteSettings.parse(raw), MemoryAccounts(api))


def machine(api: MemoryApi, name: str, *taints: dict[str, str], pool: str = "", **allocatable: str) -> None:
    api.objects[f"/api/v1/nodes/{name}"] = {
        "metadata": {"name": name, "labels": {"pool": pool}},
        "spec": {"taints": list(taints)},
        "status": {"allocatable": allocatable},
    }


@pytest.fixture
def api() -> MemoryApi:
    made = MemoryApi()
    machine(made, "small", cpu="1930m", memory="4194304Ki")
    machine(made, "wide", cpu="4", memory="2Gi", pool="wide")
    machine(made, "less", cpu="1", memory="1Gi")
    machine(made, "gpus", GPUS, cpu="32", memory="64Gi", **{"nvidia.com/gpu": "4"})
    return made


def test_capacity_has_the_largest_usable_machines_and_their_sum(api: MemoryApi):
    small, wide = Amounts(cpu=1930, memory=4 * GIB), Amounts(cpu=4000, memory=2 * GIB)
    assert site(api).capacity() == {"": Capacity((small, wide), Amounts(cpu=6930, memory=7 * GIB))}


def test_an_app_with_its_own_placement_has_its_own_capacity(api: MemoryApi):
    settings: dict[str, Any] = {
        "node_selector": {"pool": "wide"},
        "apps": {"deep": {"node_selector": {}, "tolerations": [{"key": "gpu", "operator": "Exists"}]}},
    }
    found = site(api, **settings).capacity()
    assert [one.cpu for one in found[""].machines] == [4000]
    assert [(one.cpu, one.gpu) for one in found["deep"].machines] == [(32000, 4)]


def test_a_machine_that_is_temporarily_not_ready_counts(api: MemoryApi):
    machine(
        api, "away", {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}, cpu="8", memory="8Gi"
    )
    assert [one.cpu for one in site(api).capacity()[""].machines] == [8000]


def test_capacity_is_unknown_if_machines_cannot_be_listed(api: MemoryApi):
    def refuse(call: Call) -> None:
        if call[1].endswith("/nodes"):
            raise NotYet("SITE_FORBIDS", "no")

    api.before = refuse
    assert site(api).capacity() == {}


def test_an_autoscaled_site_has_no_known_capacity(api: MemoryApi):
    assert site(api, autoscaled=True).capacity() == {}
