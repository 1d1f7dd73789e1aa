"""Two tenants with two clusters each: every pod tries to connect to every listener.

Each listener that must be closed to some pods is open to others, which connect at the same time. So a failure shows
isolation, and not a listener that is down.
"""

import ipaddress
import socket
import socketserver
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest

from controlplane.provisioners.base import ClusterRef, Desired
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.exec import run
from controlplane.provisioners.kubernetes.client.parallel import in_parallel
from controlplane.provisioners.kubernetes.objects import manifests, names, paths
from controlplane.provisioners.kubernetes.site.probes import TRY, parse_output
from templates.schema import Service
from tenants.amounts import Amounts
from tests.provisioners.kubernetes.real import PodNamespace, pod_namespace
from tests.provisioners.kubernetes.shipped import cluster_of
from tests.provisioners.launching import RUN, app, desired, role, states, until
from tests.provisioners.pods import Pods, pods_site

pytestmark = [pytest.mark.kube, pytest.mark.timeout(180)]

PORTS = {"rpc": 7777, "page": 8080, "unnamed": 9999}
LISTEN = f"for port in {' '.join(map(str, PORTS.values()))}; do httpd -p $port -h /tmp; done"
EACH = Amounts(cpu=50, memory=2**27)
METADATA = ipaddress.ip_address("169.254.169.254")
# Pods outside all clusters: one with the gateway's label in another namespace, one beside the gateway, the gateway.
OUTSIDERS = ("impostor", "neighbour", "gateway")
SETTLING_SECONDS = 30.0
TRY_SECONDS = 20.0


@dataclass(frozen=True)
class Shell:
    """A pod that connects. of: its cluster, like "acme/etl-1", or its own name if it has none."""

    name: str
    of: str
    namespace: str
    pod: str
    address: str


@dataclass(frozen=True)
class Target:
    """A listener. port: None means a DNS lookup of `host`. open_to: the `Shell.of` that can connect."""

    name: str
    host: str
    port: int | None
    open_to: frozenset[str]

    def __str__(self) -> str:
        return " ".join(str(part) for part in (self.name, self.host, self.port) if part)


@dataclass(frozen=True)
class World:
    here: Pods
    admin: Client
    wishes: tuple[Desired, ...]
    shells: tuple[Shell, ...]
    targets: tuple[Target, ...]

    def pairs(self) -> dict[tuple[str, str], bool]:
        """(shell, target) -> whether it may connect, without the ports of the pod itself."""
        return {
            (shell.name, target.name): shell.of in target.open_to
            for shell in self.shells
            for target in self.targets
            if target.host != shell.address
        }

    def opened(self) -> set[tuple[str, str]]:
        """The pairs of shell and target that connect now."""
        return set().union(*in_parallel([partial(self._opened_by, shell) for shell in self.shells]))

    def _opened_by(self, shell: Shell) -> set[tuple[str, str]]:
        tried = [target for target in self.targets if target.host != shell.address]
        command = ["sh", "-c", TRY, "try", *map(str, tried)]
        ran = run(self.admin, shell.namespace, shell.pod, command, seconds=TRY_SECONDS)
        results = parse_output(ran.stdout.decode())
        assert set(results) == {target.name for target in tried}, f"{shell.name} said {ran}"
        return {(shell.name, name) for name, opened in results.items() if opened}


@pytest.fixture(scope="module")
def world(kubeconfig: Path) -> Iterator[World]:
    with (
        pods_site(kubeconfig, image_pull_policy="Never") as here,
        pod_namespace(kubeconfig) as outside,
        pod_namespace(kubeconfig) as beside,
        stand_in(kubeconfig) as metadata,
    ):
        wishes = tuple(cluster_of_two(*whose) for whose in ownership())
        for wish in wishes:
            here.site.ensure_tenant(wish.cluster.tenant_id, wish.cluster.tenant, {})
            here.site.apply(wish)
        outsiders = strangers(outside, beside)
        for wish in wishes:
            until(partial(is_ready, here, wish))
        shells = [shell for wish in wishes for shell in nodes(here, wish)]
        everybody = frozenset(shell.of for shell in (*shells, *outsiders))
        targets = [*ports(shells), *machinery(outside.client, everybody, metadata)]
        yield World(here, outside.client, wishes, (*shells, *outsiders), tuple(targets))


def ownership() -> list[tuple[str, str, UUID]]:
    tenants = {"acme": uuid4(), "beta": uuid4()}
    return [(tenant, name, key) for tenant, key in tenants.items() for name in ("etl-1", "etl-2")]


def cluster_of_two(tenant: str, name: str, tenant_id: UUID) -> Desired:
    page = Service("page", "page", scheme="http")
    named = {port: PORTS[port] for port in ("rpc", "page")}
    body = app(role(f"{LISTEN}; {RUN}", ports=named, services=(page,), stop_seconds=1))
    wish = desired(ClusterRef(uuid4(), name, tenant_id, tenant), 2, body=body)
    return replace(wish, nodes=tuple(replace(node, each=EACH) for node in wish.nodes))


def is_ready(here: Pods, wish: Desired) -> bool:
    return set(states(here.site, wish.cluster).values()) == {"ready"}


@contextmanager
def stand_in(kubeconfig: Path) -> Iterator[tuple[str, int]]:
    """Run a listener in place of a cloud's metadata service: outside the node, on this machine. Yields its address.

    On another Kubernetes than a devkube, pods have to be able to reach this machine.
    """
    api = urlsplit(cluster_of(kubeconfig)["server"])
    with socket.create_connection((api.hostname, api.port or 443), 5) as way:
        here = way.getsockname()[0]
    with socketserver.ThreadingTCPServer((here, 0), socketserver.BaseRequestHandler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield here, server.server_address[1]
        finally:
            server.shutdown()


def strangers(outside: PodNamespace, beside: PodNamespace) -> list[Shell]:
    """Pods without a NetworkPolicy: one in `outside`, and two in `beside`, which is the gateway's namespace."""
    label = {"metadata": {"labels": {names.GATEWAY: "true"}}}
    beside.client.patch(paths.namespaces(beside.namespace), label)
    homes = dict(zip(OUTSIDERS, (outside, beside, beside), strict=True))
    shells = []
    for name, home in homes.items():
        pod = home.running(name)
        if name != "neighbour":
            home.client.patch(paths.pods(home.namespace, pod), label)
        shells.append(shell_in(home.client, home.namespace, pod, name, name))
    return shells


def nodes(here: Pods, wish: Desired) -> list[Shell]:
    of = f"{wish.cluster.tenant}/{wish.cluster.name}"
    home = names.namespace(wish.cluster.tenant_id)
    pods = {node.name: names.pod(wish.cluster.id, node.name) for node in wish.nodes}
    return [shell_in(here.client, home, pod, f"{of}/{node}", of) for node, pod in pods.items()]


def shell_in(client: Client, home: str, pod: str, name: str, of: str) -> Shell:
    found = client.get(paths.pods(home, pod))
    assert found, pod
    return Shell(name, of, home, pod, found["status"]["podIP"])


def ports(shells: Sequence[Shell]) -> Iterator[Target]:
    """The ports of all nodes. They are open to their own cluster, and pages to the gateway too."""
    for shell in shells:
        for name, port in PORTS.items():
            may = {shell.of, *(["gateway"] if name == "page" else [])}
            yield Target(f"{shell.name}:{name}", shell.address, port, frozenset(may))


def machinery(admin: Client, everybody: frozenset[str], metadata: tuple[str, int]) -> Iterator[Target]:
    """The listeners of the Kubernetes itself. Tenants may only use DNS."""
    outsiders = frozenset(OUTSIDERS)
    yield Target("metadata-stand-in", *metadata, outsiders)
    api = admin.get(paths.services("default", "kubernetes")) or {}
    yield Target("api-server", api["spec"]["clusterIP"], api["spec"]["ports"][0]["port"], outsiders)
    yield from itself(admin, outsiders)
    for node in admin.list(paths.nodes()).items:
        port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
        for each in node["status"]["addresses"]:
            if each["type"] == "InternalIP":
                yield Target(f"kubelet@{each['address']}", each["address"], port, outsiders)
    dns = admin.get(paths.services("kube-system", "kube-dns")) or {}
    for entry in dns["spec"]["ports"]:
        if entry["protocol"] == "TCP":
            may = everybody if entry["port"] == 53 else outsiders
            yield Target(f"dns-server:{entry['port']}", dns["spec"]["clusterIP"], entry["port"], may)
    yield Target("dns", "kubernetes.default.svc.cluster.local.", None, everybody)


def itself(admin: Client, outsiders: frozenset[str]) -> Iterator[Target]:
    """The API server by the addresses of its machines."""
    label = {"kubernetes.io/service-name": "kubernetes"}
    path = paths.namespaced("/apis/discovery.k8s.io/v1", "default", "endpointslices")
    for found in admin.list(path, labels=label).items:
        for endpoint in found["endpoints"]:
            host, port = endpoint["addresses"][0], found["ports"][0]["port"]
            yield Target(f"api-server@{host}", host, port, outsiders)


@pytest.fixture(scope="module")
def opened(world: World) -> set[tuple[str, str]]:
    """The pairs that connected in one of two rounds: the first that is as expected, and one more after it."""
    allowed = {pair for pair, may in world.pairs().items() if may}
    deadline = time.monotonic() + SETTLING_SECONDS
    while (found := world.opened()) != allowed and time.monotonic() < deadline:
        pass  # A round takes its time: attempts without an answer wait for seconds.
    return found | world.opened()


def test_no_pod_gets_through_where_it_may_not(world: World, opened: set[tuple[str, str]]):
    wrong = [f"{shell} reaches {target}" for shell, target in opened if not world.pairs()[shell, target]]
    assert not wrong, "\n".join(sorted(wrong))


def test_the_own_cluster_and_dns_answer(world: World, opened: set[tuple[str, str]]):
    allowed = {pair for pair, may in world.pairs().items() if may}
    wrong = [f"{shell} does not reach {target}" for shell, target in allowed - opened]
    assert not wrong, "\n".join(sorted(wrong))


def test_every_listener_that_is_closed_to_some_pods_answers_another(
    world: World, opened: set[tuple[str, str]]
):
    closed = {target for (_, target), may in world.pairs().items() if not may}
    assert sorted(closed - {target for _, target in opened}) == []


def test_every_pod_tries_every_other(world: World, opened: set[tuple[str, str]]):
    pairs = world.pairs()
    theirs = {pair: may for pair, may in pairs.items() if pair[0] not in OUTSIDERS}
    closed = sum(not may for may in pairs.values())
    print(f"{len(pairs)} pairs tried, {closed} closed and {len(pairs) - closed} open: {len(opened)} answered")
    print(f"of them {len(theirs)} by tenants' nodes, {sum(not may for may in theirs.values())} closed")
    # 8 nodes with 3 ports each, tried by 7 others and 3 outsiders; and the listeners of the Kubernetes.
    assert len(pairs) == 8 * 3 * (7 + 3) + 11 * (len(world.targets) - 8 * 3)
    assert len(world.targets) >= 8 * 3 + 6
    assert sum(not may for may in theirs.values()) > 8 * 3 * 6


# -- the real metadata service, which is never called -----------------------------------------------------------


EVERYTHING = {"ipBlock": {"cidr": "0.0.0.0/0"}}


def lets_out(policy: dict[str, Any], address: Any) -> bool:
    """Whether an egress rule of a NetworkPolicy allows the address. A rule without peers allows all."""
    rules = policy["spec"].get("egress") or ()
    peers = [peer for rule in rules for peer in rule.get("to") or [EVERYTHING]]
    return any(is_in(peer["ipBlock"], address) for peer in peers if "ipBlock" in peer)


def is_in(block: dict[str, Any], address: Any) -> bool:
    whole, *holes = map(ipaddress.ip_network, (block["cidr"], *block.get("except", ())))
    return address in whole and not any(address in hole for hole in holes)


def test_no_policy_of_a_tenant_allows_a_metadata_service(world: World):
    for home in {names.namespace(wish.cluster.tenant_id) for wish in world.wishes}:
        found = world.admin.list(paths.network_policies(home)).items
        assert len(found) == 4
        assert [policy["metadata"]["name"] for policy in found if lets_out(policy, METADATA)] == []


@pytest.mark.parametrize("egress", ["0.0.0.0/0", "128.0.0.0/1", "169.254.0.0/15"])
def test_no_policy_of_a_site_with_open_egress_allows_a_metadata_service(world: World, egress: str):
    settings = replace(world.here.site.settings, egress=(egress,))
    owner = {"metadata": {"name": "root", "uid": "1"}}
    policy = manifests.network_policy(settings, world.wishes[0], owner)
    block = ipaddress.ip_network(egress)
    assert lets_out(policy, block[-1])
    assert not lets_out(policy, METADATA)


@pytest.mark.parametrize("rule", [{}, {"to": [{"ipBlock": {"cidr": "169.254.169.254/32"}}]}])
def test_a_policy_that_allows_a_metadata_service_is_detected(rule: dict[str, Any]):
    assert lets_out({"spec": {"egress": [rule]}}, METADATA)
