"""NetworkPolicies are enforced. All tests here share one set of policies; `mute` may not even use DNS."""

import pytest

from deploy.devkube.settings import Devkube, DevkubeError
from tests.kube.devkube.calls import apply, exec_in_pod, of, page, refused, until
from tests.kube.devkube.objects import app, policy, server, space

pytestmark = [pytest.mark.kube, pytest.mark.timeout(120)]

LOOK_UP = ("timeout", "2", "nslookup", "-type=a", "server.four.svc.cluster.local")
REACH_THE_API_SERVER = ("nc", "-w", "2", "kubernetes.default", "443", "-e", "true")
ASKERS = ("four/good", "four/evil", "two/cli")


def asks(kube: Devkube, who: str) -> bool:
    try:
        return "root" in page(kube, who, "http://server.four/passwd", seconds=1)
    except DevkubeError:
        return False


@pytest.fixture(scope="module")
def walls(kube: Devkube) -> Devkube:
    """Deny all traffic of `four` but from `good` and `two` to `server`. Checks before that all was open."""
    until(lambda: all(asks(kube, who) for who in ASKERS))
    dns = {**space("kube-system"), "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    domain = [{"port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]
    to_server = {"to": [{"podSelector": app("server")}], "ports": [{"port": "http"}]}
    from_good = {"from": [{"podSelector": app("good")}, space("two")], "ports": [{"port": 8080}]}
    all_but_mute = {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["mute"]}]}
    exec_in_pod(kube, "four/mute", *LOOK_UP)
    apply(
        kube,
        policy("deny", {}, ingress=[], egress=[]),
        policy("dns", all_but_mute, egress=[{"to": [dns], "ports": domain}]),
        policy("out", app("good"), egress=[to_server]),
        policy("in", app("server"), ingress=[from_good]),
    )
    until(lambda: not asks(kube, "four/evil"))
    return kube


def test_a_policy_lets_in_the_pods_that_it_names(walls: Devkube) -> None:
    until(lambda: asks(walls, "four/good") and asks(walls, "two/cli"))
    assert not asks(walls, "four/evil")


def test_default_deny_closes_the_api_server(walls: Devkube) -> None:
    exec_in_pod(walls, "two/cli", *REACH_THE_API_SERVER)
    refused(lambda: exec_in_pod(walls, "four/good", *REACH_THE_API_SERVER))


def test_default_deny_without_an_exception_closes_dns(walls: Devkube) -> None:
    exec_in_pod(walls, "four/evil", *LOOK_UP)
    refused(lambda: exec_in_pod(walls, "four/mute", *LOOK_UP))


def test_a_block_excludes_its_exceptions(walls: Devkube) -> None:
    first, second = (of(walls, f"one/pod/web-{index}", ".status.podIP") for index in (0, 1))
    block = {"cidr": f"{walls.pods}.0/24", "except": [f"{second}/32"]}
    egress = {"to": [{"ipBlock": block}], "ports": [{"port": 8000, "endPort": 8080}]}
    apply(walls, policy("block", app("mute"), egress=[egress]))
    assert until(lambda: page(walls, "four/mute", f"http://{first}:8080/")) == "web-0\n"
    assert page(walls, "two/cli", f"http://{second}:8080/") == "web-1\n"
    refused(lambda: page(walls, "four/mute", f"http://{second}:8080/"))


def test_a_policy_does_not_block_probes(walls: Devkube) -> None:
    walls.kubectl("-n", "four", "delete", "pod", "server", "--wait")
    apply(walls, server())
    walls.kubectl("-n", "four", "wait", "--for=condition=Ready", "pod/server", "--timeout=30s")


def test_a_policy_follows_a_label(walls: Devkube) -> None:
    walls.kubectl("-n", "four", "label", "pod", "evil", "app=good", "--overwrite")
    until(lambda: asks(walls, "four/evil"))
    walls.kubectl("-n", "four", "label", "pod", "evil", "app=evil", "--overwrite")
    until(lambda: not asks(walls, "four/evil"))
