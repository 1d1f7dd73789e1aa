"""The nft rules that a set of NetworkPolicies becomes."""

from typing import Any

from deploy.devkube import netpol
from tests.kube.devkube.objects import ENDURE, LISTENING, app, pod, policy, space, thing

FOUR = thing("Namespace", "four", metadata={"labels": {"kubernetes.io/metadata.name": "four"}})
TWO = thing("Namespace", "two", metadata={"labels": {"kubernetes.io/metadata.name": "two"}})


def running(name: str, address: str, namespace: str = "four", **spec: Any) -> dict[str, Any]:
    made = pod(name, namespace, ENDURE, container=LISTENING, **spec)
    return made | {"status": {"podIP": address, "phase": "Running"}}


A, B = running("a", "10.0.0.1"), running("b", "10.0.0.2")
THEIRS = running("b", "10.0.0.3", "two")


def returns(*policies: dict[str, Any]) -> list[str]:
    """The nft matches that let a packet pass, for pods a, b and b of namespace two."""
    lines = netpol.ruleset([A, B, THEIRS], [FOUR, TWO], list(policies)).splitlines()
    return [line.removesuffix(" return").strip() for line in lines if line.endswith(" return")]


def test_a_block_with_exceptions_and_a_range_of_ports() -> None:
    block = {"ipBlock": {"cidr": "172.16.0.0/12", "except": ["172.16.1.0/24"]}}
    egress = {"to": [block], "ports": [{"port": 7000, "endPort": 7010, "protocol": "UDP"}]}
    assert returns(policy("p", app("a"), egress=[egress])) == [
        "ip daddr 172.16.0.0/12 ip daddr != { 172.16.1.0/24 } udp dport 7000-7010"
    ]


def test_a_namespace_selector_and_a_pod_selector_must_both_match() -> None:
    peer = {**space("two"), "podSelector": {"matchLabels": {"app": "b"}}}
    assert returns(policy("p", app("a"), ingress=[{"from": [peer]}])) == ["ip saddr 10.0.0.3"]


def test_a_pod_selector_alone_selects_in_the_same_namespace() -> None:
    assert returns(policy("p", app("a"), ingress=[{"from": [{"podSelector": app("b")}]}])) == [
        "ip saddr 10.0.0.2"
    ]


def test_a_named_port_is_looked_up_in_the_target_pod() -> None:
    egress = {"to": [{"podSelector": app("b")}], "ports": [{"port": "http"}]}
    assert returns(policy("p", app("a"), egress=[egress])) == ["ip daddr 10.0.0.2 tcp dport 8080"]


def test_expressions_select_the_pods_of_a_policy() -> None:
    expression = {"key": "app", "operator": "NotIn", "values": ["a", "b"]}
    walls = policy("p", {"matchExpressions": [expression]}, ingress=[])
    assert "drop" not in netpol.ruleset([A], [FOUR], [walls])
    expression["operator"] = "In"
    assert "drop" in netpol.ruleset([A], [FOUR], [walls])


def test_neither_an_ended_pod_nor_one_of_the_node_is_governed() -> None:
    ended = A | {"status": {"podIP": "10.0.0.1", "phase": "Succeeded"}}
    of_the_node = running("a", "10.0.0.9", hostNetwork=True)
    assert "drop" not in netpol.ruleset([ended, of_the_node], [FOUR], [policy("p", {}, ingress=[])])


def test_without_a_policy_nothing_is_dropped() -> None:
    assert "drop" not in netpol.ruleset([A, B, THEIRS], [FOUR, TWO], [])
    assert returns() == []
