"""A devkube is a Kubernetes: what clusters need of one, tried on a fresh devkube beside the usual one."""

import base64
import json
import os
import signal
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from deploy.devkube import images, kwok, lifecycle, netpol, node, pki
from deploy.devkube.settings import Devkube, DevkubeError
from tests.kube.cluster import skip_without_devkube

pytestmark = [pytest.mark.kube, pytest.mark.timeout(120)]

SECONDS = 60.0
IMAGE = {"image": "localhost/busybox:1", "imagePullPolicy": "Never"}
# What `restricted` asks for.
NOBODY = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "fsGroup": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}
LOCKED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
SERVE = ["sh", "-c", "hostname > /www/index.html; echo started; exec httpd -f -p 8080 -h /www"]
ENDURE = ["sleep", "infinity"]
WEB_LABELS = {"app": "web"}
FILES = (
    {"name": "www", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
    {"name": "config", "configMap": {"name": "config"}},
    {"name": "secret", "secret": {"secretName": "secret"}},
    {
        "name": "token",
        "projected": {"sources": [{"serviceAccountToken": {"audience": "vault", "path": "token"}}]},
    },
)


def thing(kind: str, name: str, namespace: str = "", *, api: str = "v1", **body: Any) -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {}), **body.pop("metadata", {})}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **body}


def pod(
    name: str, namespace: str, command: list[str], *, container: Any = None, **spec: Any
) -> dict[str, Any]:
    """A pod labelled with its own name."""
    containers = [{"name": "c", **IMAGE, "command": command, **(container or {})}]
    metadata = {"labels": {"app": name}}
    body = {"terminationGracePeriodSeconds": 0, "containers": containers, **spec}
    return thing("Pod", name, namespace, metadata=metadata, spec=body)


def web(index: int) -> dict[str, Any]:
    mounts = [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in FILES]
    container = {
        "securityContext": LOCKED,
        "volumeMounts": mounts,
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
    }
    names = {"hostname": f"web-{index}", "subdomain": "each"}
    made = pod(
        f"web-{index}", "one", SERVE, container=container, securityContext=NOBODY, volumes=FILES, **names
    )
    made["metadata"]["labels"] = WEB_LABELS
    return made


def volume(name: str, claim: str) -> dict[str, Any]:
    return {"name": name, "persistentVolumeClaim": {"claimName": claim}}


def claim(name: str) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}}
    return thing("PersistentVolumeClaim", name, "two", spec=spec)


def service(name: str, **spec: Any) -> dict[str, Any]:
    ports = [{"port": 80, "targetPort": 8080}]
    return thing("Service", name, "one", spec={"selector": WEB_LABELS, "ports": ports, **spec})


def world() -> list[dict[str, Any]]:
    """Namespace `one` is restricted and serves pages; `two` is not, and asks for them."""
    restricted = {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
    mounted = {"volumeMounts": [{"name": "d", "mountPath": "/d"}]}
    return [
        thing("Namespace", "one", metadata=restricted),
        thing("Namespace", "two"),
        thing("ConfigMap", "config", "one", data={"k": "v1"}),
        thing("Secret", "secret", "one", stringData={"p": "hunter2"}),
        service("web"),
        service("each", clusterIP="None", publishNotReadyAddresses=True),
        service("outside", type="NodePort"),
        web(0),
        web(1),
        claim("kept"),
        pod("cli", "two", ENDURE, container=mounted, volumes=[volume("d", "kept")]),
        claim("theirs"),
        pod(
            "member",
            "two",
            ENDURE,
            container=mounted,
            volumes=[volume("d", "theirs")],
            securityContext=NOBODY,
        ),
        pod(
            "inside",
            "two",
            ENDURE,
            hostNetwork=True,
            container={"securityContext": {"privileged": True}},
        ),
    ]


def traces() -> dict[str, set[str]]:
    """What a devkube could leave behind on this machine."""
    asked = {
        "links": ("ip", "-brief", "link"),
        "routes": ("ip", "route"),
        "rules": ("nft", "list", "ruleset"),
        "mounts": ("cat", "/proc/mounts"),
    }
    found = {
        name: set(subprocess.run(ask, check=True, capture_output=True, text=True).stdout.splitlines())
        for name, ask in asked.items()
    }
    found["cgroups"] = {str(path) for path in lifecycle.CGROUPS.glob("*/*")}
    found["settings"] = {
        f"{name}={Path('/proc/sys', name).read_text()}"
        for name in (*node.TUNABLES, "net/ipv4/ip_forward", "net/ipv4/conf/all/forwarding")
    }
    found["folders"] = {
        str(path) for top in ("/run", "/tmp", "/var/lib", "/var/log") for path in Path(top).iterdir()
    }
    return found


def of_the_node(kube: Devkube, found: dict[str, set[str]]) -> set[str]:
    """Other programs come and go meanwhile: only what names this devkube, or what only a node makes."""
    marks = (
        kube.name,
        kube.link,
        kube.pods,
        kube.services,
        "kube",
        "cni",
        "containerd",
        "hostpath_pv",
        "/proc/sys",
    )
    return {line for lines in found.values() for line in lines if any(mark in line for mark in marks)}


def own(name: str = "") -> Devkube:
    """One for this process alone, beside everything else that runs here."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    return Devkube(
        root=Devkube.from_environment().root,
        name=name or f"slipwayt{number}",
        link=f"172.31.{240 + number}",
        pods=f"10.{230 + number}.0",
        services=f"10.{200 + number}.0",
    )


@pytest.fixture(scope="module")
def before() -> dict[str, set[str]]:
    skip_without_devkube()
    lifecycle.down(own(), wipe=True)
    return traces()


@pytest.fixture(scope="module")
def kube(before: dict[str, set[str]]) -> Iterator[Devkube]:
    kube = own()
    lifecycle.up(kube, print)
    try:
        apply(kube, *world())
        # A pod asks for its namespace's account, which is made a moment after the namespace.
        for namespace in ("one", "two"):
            kube.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
        yield kube
    finally:
        lifecycle.down(kube, wipe=True)


def apply(kube: Devkube, *things: dict[str, Any]) -> None:
    text = "\n---\n".join(json.dumps(thing) for thing in things)
    until(lambda: kube.kubectl("apply", "-f", "-", given=text))


def create(kube: Devkube, body: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(kube.kubectl("create", "-o", "json", "-f", "-", given=json.dumps(body)))
    return made


def until(condition: Callable[[], Any]) -> Any:
    """What the condition gives once that is true; a refusal by Kubernetes counts as not yet."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            if found := condition():
                return found
            missing: object = "not true"
        except (DevkubeError, OSError) as error:
            missing = error
        assert time.monotonic() < deadline, missing
        time.sleep(0.1)


def inside(kube: Devkube, where: str, *command: str, given: str | None = None) -> str:
    """The output of a command in a pod, named like "two/cli"."""
    namespace, _, name = where.partition("/")
    options = ("-i",) if given is not None else ()
    return kube.kubectl("-n", namespace, "exec", *options, name, "--", *command, given=given)


def page(kube: Devkube, where: str, url: str) -> str:
    return inside(kube, where, "timeout", "2", "wget", "-qO-", url)


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(DevkubeError) as error:
        call()
    return str(error.value)


def of(kube: Devkube, what: str, path: str) -> str:
    """A field of an object, named like "one/pod/web-0"."""
    namespace, _, rest = what.partition("/")
    return kube.kubectl("-n", namespace, "get", rest, "-o", f"jsonpath={{{path}}}")


def fetch(url: str) -> str:
    with urlopen(url, timeout=3) as answer:  # noqa: S310
        return str(answer.read().decode())


def token_review(kube: Devkube, token: str, **spec: Any) -> dict[str, Any]:
    body = thing(
        "TokenReview", "", api="authentication.k8s.io/v1", spec={"token": token, **spec}, metadata={}
    )
    status: dict[str, Any] = create(kube, body)["status"]
    return status


def test_logs(kube: Devkube) -> None:
    assert kube.kubectl("-n", "one", "logs", "web-0") == "started\n"


def test_exec_takes_a_mebibyte(kube: Devkube) -> None:
    assert inside(kube, "two/cli", "wc", "-c", given="x" * 2**20).strip() == str(2**20)


def test_exec_tells_the_exit_code(kube: Devkube) -> None:
    assert "exit code 7" in refused(lambda: inside(kube, "two/cli", "sh", "-c", "exit 7"))


def test_port_forward(kube: Devkube) -> None:
    kubectl = [str(kube.state / "bin/kubectl"), f"--kubeconfig={kube.kubeconfig}"]
    command = [*kubectl, "-n", "one", "port-forward", "pod/web-0", ":8080"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forwarding:
        assert forwarding.stdout
        address = forwarding.stdout.readline().split()[2]
        assert fetch(f"http://{address}/") == "web-0\n"
        forwarding.terminate()


@pytest.mark.parametrize("name", ["web.one", "web.one.svc.cluster.local"])
def test_a_service_answers_by_name(kube: Devkube, name: str) -> None:
    assert page(kube, "two/cli", f"http://{name}/").startswith("web-")


def test_a_headless_service_names_each_pod(kube: Devkube) -> None:
    assert page(kube, "two/cli", "http://web-1.each.one.svc.cluster.local:8080/") == "web-1\n"


def test_a_headless_service_gives_all_addresses(kube: Devkube) -> None:
    said = inside(kube, "two/cli", "nslookup", "-type=a", "each.one.svc.cluster.local")
    assert said.count(f"Address: {kube.pods.rpartition('.')[0]}.") == 2


def test_a_pod_reaches_itself_through_its_service(kube: Devkube) -> None:
    assert until(lambda: page(kube, "one/web-0", "http://web/") == "web-0\n")


def test_a_pod_reaches_the_api_server(kube: Devkube) -> None:
    assert inside(kube, "two/cli", "nc", "-w", "3", "kubernetes.default", "443", "-e", "true") == ""


def test_the_machine_reaches_pods_services_and_node_ports(kube: Devkube) -> None:
    port = of(kube, "one/service/outside", ".spec.ports[0].nodePort")
    addresses = (
        of(kube, "one/service/web", ".spec.clusterIP"),
        f"{of(kube, 'one/pod/web-0', '.status.podIP')}:8080",
        f"{kube.link}.2:{port}",
    )
    assert all(fetch(f"http://{address}/").startswith("web-") for address in addresses)


def test_the_node_reaches_services(kube: Devkube) -> None:
    address = of(kube, "one/service/web", ".spec.clusterIP")
    assert page(kube, "two/inside", f"http://{address}/").startswith("web-")


def test_there_is_no_way_out(kube: Devkube) -> None:
    routes = inside(kube, "two/inside", "ip", "route")
    assert kube.services in routes
    assert "default" not in routes


def test_a_memory_volume_has_its_size(kube: Devkube) -> None:
    mounted = next(
        line for line in inside(kube, "one/web-0", "mount").splitlines() if "on /www type tmpfs" in line
    )
    assert "size=8192k" in mounted


def test_a_read_only_root_is_read_only(kube: Devkube) -> None:
    assert inside(kube, "one/web-0", "touch", "/www/x") == ""
    assert "Read-only file system" in refused(lambda: inside(kube, "one/web-0", "touch", "/x"))


@pytest.mark.parametrize("line", ["Seccomp:\t2", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"])
def test_a_restricted_pod_is_locked_in(kube: Devkube, line: str) -> None:
    assert line in inside(kube, "one/web-0", "cat", "/proc/self/status").splitlines()


def test_config_and_secret_files(kube: Devkube) -> None:
    assert inside(kube, "one/web-0", "cat", "/config/k", "/secret/p") == "v1hunter2"


def test_a_projected_token_is_good_for_its_audience_alone(kube: Devkube) -> None:
    token = inside(kube, "one/web-0", "cat", "/token/token")
    assert token_review(kube, token, audiences=["vault"])["authenticated"] is True
    assert "authenticated" not in token_review(kube, token)


def test_the_keys_of_tokens_are_published(kube: Devkube) -> None:
    assert kube.kubectl("get", "--raw", "/.well-known/openid-configuration").count("jwks_uri") == 1
    assert json.loads(kube.kubectl("get", "--raw", "/openid/v1/jwks"))["keys"][0]["kty"] == "RSA"


@pytest.mark.parametrize("who", ["cli", "member"])
def test_a_volume_is_writable_for_root_and_for_others(kube: Devkube, who: str) -> None:
    assert until(lambda: inside(kube, f"two/{who}", "sh", "-c", "echo a > /d/f && cat /d/f")) == "a\n"


def test_more_memory_than_its_limit_kills_a_container(kube: Devkube) -> None:
    greedy = {"resources": {"limits": {"memory": "20Mi"}}}
    command = ["dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"]
    apply(kube, pod("greedy", "two", command, container=greedy, restartPolicy="Never"))
    reason = ".status.containerStatuses[0].state.terminated.reason"
    assert until(lambda: of(kube, "two/pod/greedy", reason)) == "OOMKilled"


def test_restricted_refuses_a_root_pod(kube: Devkube) -> None:
    said = refused(lambda: create(kube, pod("rooted", "one", ENDURE)))
    assert 'violates PodSecurity "restricted' in said


def test_a_limit_range_gives_and_a_quota_takes(kube: Devkube) -> None:
    given = {"type": "Container", "default": {"memory": "32Mi"}, "max": {"memory": "64Mi"}}
    apply(
        kube,
        thing("Namespace", "three"),
        thing("ResourceQuota", "q", "three", spec={"hard": {"pods": "1"}}),
        thing("LimitRange", "l", "three", spec={"limits": [given]}),
        pod("first", "three", ENDURE),
    )
    assert of(kube, "three/pod/first", ".spec.containers[0].resources.limits.memory") == "32Mi"
    big = pod("big", "three", ENDURE, container={"resources": {"limits": {"memory": "65Mi"}}})
    assert "maximum memory usage" in refused(lambda: create(kube, big))
    assert "exceeded quota" in refused(lambda: create(kube, pod("second", "three", ENDURE)))


def test_a_deployment_scales(kube: Devkube) -> None:
    template = pod("many", "two", ENDURE)
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "many"}},
        "template": {"metadata": {"labels": {"app": "many"}}, "spec": template["spec"]},
    }
    apply(kube, thing("Deployment", "many", "two", api="apps/v1", spec=spec))
    for replicas in (2, 1):
        kube.kubectl("-n", "two", "scale", "deployment/many", f"--replicas={replicas}")
        until(partial(has_running, kube, "many", replicas))
    kube.kubectl("-n", "two", "delete", "deployment", "many")


def has_running(kube: Devkube, app: str, count: int) -> bool:
    path = '.items[?(@.status.phase=="Running")].metadata.name'
    found = kube.kubectl("-n", "two", "get", "pod", "-l", f"app={app}", "-o", f"jsonpath={{{path}}}")
    return len(found.split()) == count


def policy(name: str, pods: dict[str, Any], **rules: Any) -> dict[str, Any]:
    spec = {"podSelector": pods, "policyTypes": [kind.capitalize() for kind in rules]}
    allowed = {kind: rule for kind, rule in rules.items() if rule}
    return thing("NetworkPolicy", name, "four", api="networking.k8s.io/v1", spec={**spec, **allowed})


def app(name: str) -> dict[str, Any]:
    return {"matchLabels": {"app": name}}


def space(name: str) -> dict[str, Any]:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


@pytest.fixture(scope="module")
def fenced(kube: Devkube) -> Devkube:
    """Namespace `four`, proved open: a server, and two who ask; so does the namespace `two`."""
    listening = {
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
    }
    serve = ["httpd", "-f", "-p", "8080", "-h", "/etc"]
    spec = {"selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": 8080}]}
    apply(
        kube,
        thing("Namespace", "four"),
        thing("Service", "server", "four", spec=spec),
        *(pod(name, "four", ENDURE) for name in ("good", "evil")),
        pod("server", "four", serve, container=listening),
    )
    kube.kubectl("-n", "four", "wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
    until(lambda: all(asks(kube, who) for who in ("four/good", "four/evil", "two/cli")))
    return kube


def asks(kube: Devkube, who: str) -> bool:
    try:
        return "root" in page(kube, who, "http://server.four/passwd")
    except DevkubeError:
        return False


@pytest.fixture
def walls(fenced: Devkube) -> Iterator[Devkube]:
    """Default deny both ways, with one hole: DNS, and from `good` and the namespace `two` to `server`."""
    dns = {**space("kube-system"), "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    domain = [{"port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]
    apply(
        fenced,
        policy("deny", {}, ingress=[], egress=[]),
        policy("dns", {}, egress=[{"to": [dns], "ports": domain}]),
        policy(
            "out", app("good"), egress=[{"to": [{"podSelector": app("server")}], "ports": [{"port": "http"}]}]
        ),
        policy(
            "in",
            app("server"),
            ingress=[{"from": [{"podSelector": app("good")}, space("two")], "ports": [{"port": 8080}]}],
        ),
    )
    until(lambda: not asks(fenced, "four/evil"))
    yield fenced
    fenced.kubectl("-n", "four", "delete", "networkpolicy", "--all")
    until(lambda: asks(fenced, "four/evil"))


def test_a_policy_lets_in_whom_it_names(walls: Devkube) -> None:
    assert [who for who in ("four/good", "four/evil", "two/cli") if asks(walls, who)] == [
        "four/good",
        "two/cli",
    ]


def test_default_deny_closes_the_api_server(walls: Devkube) -> None:
    reach = ("nc", "-w", "2", "kubernetes.default", "443", "-e", "true")
    inside(walls, "two/cli", *reach)
    refused(lambda: inside(walls, "four/good", *reach))


def test_default_deny_without_a_hole_closes_dns(walls: Devkube) -> None:
    look = ("timeout", "2", "nslookup", "-type=a", "server.four.svc.cluster.local")
    inside(walls, "four/evil", *look)
    walls.kubectl("-n", "four", "delete", "networkpolicy", "dns")
    until(lambda: refused_now(lambda: inside(walls, "four/evil", *look)))


def refused_now(call: Callable[[], Any]) -> bool:
    try:
        call()
    except DevkubeError:
        return True
    return False


def test_a_policy_leaves_probes_alone(walls: Devkube) -> None:
    ready_since = of(walls, "four/pod/server", '.status.conditions[?(@.type=="Ready")].lastTransitionTime')
    walls.kubectl("-n", "four", "delete", "pod", "server", "--wait")
    assert ready_since
    listening = {"readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}}
    ports = {"ports": [{"name": "http", "containerPort": 8080}]}
    apply(
        walls,
        pod("server", "four", ["httpd", "-f", "-p", "8080", "-h", "/etc"], container={**listening, **ports}),
    )
    walls.kubectl("-n", "four", "wait", "--for=condition=Ready", "pod/server", "--timeout=30s")


def test_a_policy_follows_a_label(walls: Devkube) -> None:
    walls.kubectl("-n", "four", "label", "pod", "evil", "app=good", "--overwrite")
    until(lambda: asks(walls, "four/evil"))
    walls.kubectl("-n", "four", "label", "pod", "evil", "app=evil", "--overwrite")
    until(lambda: not asks(walls, "four/evil"))


def test_blocks_ranges_and_expressions_become_rules() -> None:
    running = pod("a", "x", ENDURE)
    running["status"] = {"podIP": "10.0.0.1", "phase": "Running"}
    expression = {"key": "app", "operator": "In", "values": ["a"]}
    block = {"ipBlock": {"cidr": "172.16.0.0/12", "except": ["172.16.1.0/24"]}}
    egress = {"to": [block], "ports": [{"port": 7000, "endPort": 7010, "protocol": "UDP"}]}
    made = policy("p", {"matchExpressions": [expression]}, egress=[egress])
    made["metadata"]["namespace"] = "x"
    rules = netpol.ruleset([running], [], [made])
    assert "ip daddr 172.16.0.0/12 ip daddr != { 172.16.1.0/24 } udp dport 7000-7010 return" in rules
    expression["operator"] = "NotIn"
    assert "drop" not in netpol.ruleset([running], [], [made])


def test_fake_nodes_call_pods_running(kube: Devkube) -> None:
    kwok.scale(kube, 3)
    place = {"nodeSelector": {"type": "kwok"}, "tolerations": [{"key": "type", "operator": "Exists"}]}
    apply(kube, pod("fake", "two", ENDURE, **place))
    assert until(lambda: of(kube, "two/pod/fake", ".status.phase") == "Running")
    assert of(kube, "two/pod/fake", ".spec.nodeName").startswith("kwok-")
    kube.kubectl("-n", "two", "delete", "pod", "fake", "--wait=false")
    kwok.scale(kube, 0)
    until(lambda: "kwok" not in kube.kubectl("get", "nodes", "-o", "name"))


def test_every_call_is_in_the_audit_log_by_its_user_agent(kube: Devkube) -> None:
    config = json.loads(kube.kubeconfig.read_text())
    server, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    headers = {"Authorization": f"Bearer {user['token']}", "User-Agent": "counted/1"}
    authority = base64.b64decode(server["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    request = Request(f"{server['server']}/api/v1/namespaces/one", headers=headers)  # noqa: S310
    for _ in range(3):
        with urlopen(request, context=context, timeout=5) as answer:  # noqa: S310
            answer.read()
    lines = [json.loads(line) for line in kube.audit_log.read_text().splitlines() if "counted/1" in line]
    assert [line["verb"] for line in lines] == ["get"] * 3


def test_an_archive_is_loaded_under_its_name(kube: Devkube, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    images.ctr(kube, "images", "tag", "localhost/busybox:1", "localhost/another:1")
    images.ctr(kube, "images", "export", str(archive), "localhost/another:1")
    images.ctr(kube, "images", "rm", "localhost/another:1")
    images.load(kube, archive)
    assert "localhost/another:1" in images.ctr(kube, "images", "ls", "-q").split()


def test_a_missing_archive_is_named(kube: Devkube, tmp_path: Path) -> None:
    assert str(tmp_path) in refused(lambda: images.load(kube, tmp_path / "no.tar"))


def test_a_killed_node_comes_back_with_its_state(kube: Devkube) -> None:
    inside(kube, "two/cli", "sh", "-c", "echo before > /d/kept")
    pid = lifecycle.node_pid(kube)
    assert pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: lifecycle.node_pid(kube) is None)
    lifecycle.up(kube, print)
    assert until(lambda: inside(kube, "two/cli", "cat", "/d/kept")) == "before\n"
    until(lambda: page(kube, "two/cli", "http://web.one/").startswith("web-"))


def test_other_networks_need_a_new_state(kube: Devkube) -> None:
    assert "--wipe" in refused(lambda: pki.provide(replace(kube, link="172.31.239")))


def test_down_leaves_nothing_on_the_machine(kube: Devkube, before: dict[str, set[str]]) -> None:
    assert of_the_node(kube, traces()) - of_the_node(kube, before)
    lifecycle.down(kube, wipe=True)
    assert of_the_node(kube, traces()) <= of_the_node(kube, before)
    assert not kube.state.exists()
    assert not [
        process
        for process in Path("/proc").glob("[0-9]*/cmdline")
        if str(kube.state).encode() in process.read_bytes()
    ]
