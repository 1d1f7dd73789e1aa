"""The network policies and the quota of a tenant's namespace. No test here needs a Kubernetes."""

import ipaddress
from dataclasses import replace
from typing import Any

import pytest

from controlplane.provisioners.base import Temporary, TenantMissing
from controlplane.provisioners.kubernetes.objects import egress, names, tenant
from controlplane.provisioners.kubernetes.provisioner import KubernetesProvisioner
from tests.provisioners.kubernetes.golden import APP
from tests.provisioners.kubernetes.memory import MemoryAccounts, MemoryApi
from tests.provisioners.kubernetes.rendered import OF, SETTINGS, Body, objects, of_kind, whole

METADATA = ipaddress.ip_address("169.254.169.254")
WIDE = replace(
    SETTINGS,
    egress=("0.0.0.0/0", "::/0", "10.0.0.0/8", "169.254.0.0/16", "169.254.169.254/32", "fd00::/8"),
    dns_cidrs=("169.254.20.10/32", "169.254.0.0/16", "169.254.169.254/32"),
)


def policies(settings: Any = SETTINGS) -> dict[str, Body]:
    found = of_kind(objects(whole(APP), settings), "NetworkPolicy")
    return {body["metadata"]["name"]: body["spec"] for body in found}


def blocks(settings: Any) -> list[Body]:
    """Returns every address block that the policies allow as a target."""
    return [
        peer["ipBlock"]
        for spec in policies(settings).values()
        for rule in spec.get("egress", [])
        for peer in rule.get("to", [])
        if "ipBlock" in peer
    ]


def test_the_default_policy_denies_all_traffic():
    assert policies()[tenant.DENY] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_dns_is_allowed_to_one_target_and_one_port():
    (rule,) = policies()[tenant.DNS]["egress"]
    assert rule["ports"] == [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]
    (peer,) = rule["to"]
    assert set(peer) == {"namespaceSelector", "podSelector"}


def test_every_rule_names_its_peers():
    for spec in policies(WIDE).values():
        assert all(rule["to"] for rule in spec.get("egress", []))
        assert all(rule["from"] for rule in spec.get("ingress", []))


def test_no_rule_reaches_the_metadata_service_of_a_cloud():
    found = blocks(WIDE)
    assert len(found) > 3
    for block in found:
        holes = [ipaddress.ip_network(hole) for hole in block.get("except", [])]
        contains = METADATA in ipaddress.ip_network(block["cidr"])
        assert not contains or any(METADATA in hole for hole in holes), block


@pytest.mark.parametrize("cidr", ["100.100.100.200", "fd00:ec2::254", "fe80::1", "169.254.1.1"])
def test_other_metadata_and_link_local_addresses_are_excluded(cidr: str):
    everything = egress.blocks(["0.0.0.0/0", "::/0"])
    holes = [ipaddress.ip_network(hole) for peer in everything for hole in peer["ipBlock"]["except"]]
    assert any(ipaddress.ip_address(cidr) in hole for hole in holes)
    assert egress.blocks([cidr]) == []


def test_nodes_of_a_run_reach_one_another_and_no_other_run():
    spec = policies()[names.run_root(OF.id, 1)]
    themselves = {"podSelector": {"matchLabels": {names.CLUSTER: str(OF.id), names.RUN: "1"}}}
    assert spec["ingress"][0] == {"from": [themselves]}
    assert spec["egress"] == [{"to": [themselves]}]


def test_a_gateway_reaches_pages_and_no_other_port():
    rule = policies()[names.run_root(OF.id, 1)]["ingress"][1]
    gateway = {"matchLabels": {names.GATEWAY: "true"}}
    assert rule["from"] == [{"namespaceSelector": gateway, "podSelector": gateway}]
    assert rule["ports"] == [{"protocol": "TCP", "port": 8080}]


def test_an_app_without_pages_is_open_to_no_gateway():
    app = replace(APP, roles=(replace(APP.roles[0], services=()),))
    found = of_kind(objects(whole(app)), "NetworkPolicy")
    (spec,) = [body["spec"] for body in found if body["metadata"]["name"] == names.run_root(OF.id, 1)]
    assert len(spec["ingress"]) == 1


def test_pod_security_is_restricted_from_the_first_moment():
    labels = tenant.namespace(SETTINGS, OF.tenant_id, "acme")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert labels["pod-security.kubernetes.io/enforce-version"] == "latest"


def test_apply_creates_nothing_without_the_namespace():
    api = MemoryApi()
    with pytest.raises(Temporary, match="NAMESPACE_GOING"):
        KubernetesProvisioner(SETTINGS, MemoryAccounts(api)).apply(whole(APP))
    assert api.made == []


def test_the_quota_has_headroom_for_one_more_node():
    hard = tenant.quota(SETTINGS, OF.tenant_id, {"cpu": 8000, "memory": 2**30})["spec"]["hard"]
    assert hard["requests.cpu"] == f"{8000 + tenant.HEADROOM.cpu}m"
    assert hard["limits.memory"] == hard["requests.memory"] == str(2**30 + tenant.HEADROOM.memory)


def test_an_unlimited_resource_is_not_in_the_quota():
    hard = tenant.quota(SETTINGS, OF.tenant_id, {"cpu": None})["spec"]["hard"]
    assert not [resource for resource in hard if "requests" in resource]


def test_no_tenant_can_open_itself_to_the_outside():
    hard = tenant.quota(SETTINGS, OF.tenant_id, {})["spec"]["hard"]
    assert (hard["services.nodeports"], hard["services.loadbalancers"]) == ("0", "0")


def test_a_tenant_that_was_just_ensured_is_cached():
    api = MemoryApi()
    site = KubernetesProvisioner(SETTINGS, MemoryAccounts(api))
    site.ensure_tenant(OF.tenant_id, OF.tenant, {"cpu": 1000})
    before = len(api.calls)
    site.ensure_tenant(OF.tenant_id, OF.tenant, {"cpu": 1000})
    # Only the labels of the namespace are read each time.
    assert api.calls[before:] == [("get", f"/api/v1/namespaces/{names.namespace(OF.tenant_id)}")]
    site.ensure_tenant(OF.tenant_id, OF.tenant, {"cpu": 2000})
    assert len(api.calls) > before


def test_a_deleted_namespace_is_reported_and_created_again():
    api = MemoryApi()
    site = KubernetesProvisioner(SETTINGS, MemoryAccounts(api))
    site.ensure_tenant(OF.tenant_id, OF.tenant, {})
    api.drop(f"/api/v1/namespaces/{names.namespace(OF.tenant_id)}")
    with pytest.raises(TenantMissing):
        site.apply(whole(APP))
    site.ensure_tenant(OF.tenant_id, OF.tenant, {})
    assert len(api.of_kind("networkpolicies")) == 2


def test_a_removed_tenant_can_be_created_again():
    api = MemoryApi()
    site = KubernetesProvisioner(SETTINGS, MemoryAccounts(api))
    for _ in range(2):
        site.ensure_tenant(OF.tenant_id, OF.tenant, {})
        assert api.of_kind("namespaces")
        site.remove_tenant(OF.tenant_id)
        assert not api.of_kind("namespaces")


def leaving(message: str) -> dict[str, Any]:
    condition = {"type": "NamespaceFinalizersRemaining", "status": "True", "message": message}
    return {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"conditions": [condition]}}


def test_a_terminating_namespace_is_not_reported_as_gone():
    api = MemoryApi()
    site = KubernetesProvisioner(SETTINGS, MemoryAccounts(api))
    site.ensure_tenant(OF.tenant_id, OF.tenant, {})
    [space] = api.of_kind("namespaces")
    held = leaving("some content has finalizers: example.com/hold in 1 resource")
    space["metadata"] |= held["metadata"]
    space["status"] = held["status"]
    with pytest.raises(Temporary, match=r"NAMESPACE_GOING: .*example\.com/hold"):
        site.remove_tenant(OF.tenant_id)


def test_a_namespace_of_another_installation_is_not_deleted():
    api = MemoryApi()
    site = KubernetesProvisioner(SETTINGS, MemoryAccounts(api))
    site.ensure_tenant(OF.tenant_id, OF.tenant, {})
    [space] = api.of_kind("namespaces")
    space["metadata"]["labels"][names.INSTALLATION] = "f" * 16
    site.remove_tenant(OF.tenant_id)
    assert api.of_kind("namespaces") == [space]
