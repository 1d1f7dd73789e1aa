"""Level 1 of the Kubernetes multi-tenancy benchmark, on a real API server, in the namespace that every tenant gets.

Members of a tenant have no account on Kubernetes. The checks therefore use two identities: that of the nodes, and
alice, who has the role `admin` in her tenant's namespace, as the benchmark assumes.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from controlplane.provisioners.base import Desired, Permanent, Temporary
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.parallel import in_parallel
from controlplane.provisioners.kubernetes.objects import bindings, manifests, names, paths
from controlplane.provisioners.kubernetes.objects.tenant import QUOTA
from controlplane.provisioners.kubernetes.settings import Reach
from controlplane.provisioners.kubernetes.site import permissions
from controlplane.provisioners.kubernetes.site.probes import TRY, parse_output
from tests.provisioners.kubernetes.rendered import SETTINGS, objects, of_kind
from tests.provisioners.kubernetes.shipped import authority_of, cluster_of
from tests.provisioners.launching import RUN, app, cluster, desired, make_ready, role, until
from tests.provisioners.pods import Pods, pods_site

pytestmark = [pytest.mark.kube, pytest.mark.timeout(180)]

Body = dict[str, Any]
DRY = "?dryRun=All"
PORT = 7777
LIMITS = {"cpu": 4000, "memory": 4 * 2**30, "gpu": 0, "storage": 2**30}
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
OF_EVERYBODY = {(right.group, right.resource, right.verb) for right in permissions.OF_EVERYBODY}


@dataclass(frozen=True)
class Tenant:
    """A tenant with a cluster. node, alice: clients as the pods of the cluster and as the namespace's admin.

    other: a cluster of another tenant."""

    here: Pods
    admin: Client
    node: Client
    alice: Client
    wish: Desired
    other: Desired

    @property
    def home(self) -> str:
        return names.namespace(self.wish.cluster.tenant_id)

    @property
    def foreign(self) -> str:
        return names.namespace(self.other.cluster.tenant_id)

    @property
    def both(self) -> dict[str, Client]:
        return {"a node": self.node, "alice": self.alice}

    def pod(self) -> Body:
        """A new pod with the spec of a running one."""
        found = self.admin.get(paths.pods(self.home, names.pod(self.wish.cluster.id, "worker-0")))
        assert found
        spec = {key: value for key, value in copy.deepcopy(found["spec"]).items() if key != "nodeName"}
        return {"metadata": {"name": "tried"}, "spec": spec}


@pytest.fixture(scope="module")
def tenant(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenant]:
    folder = tmp_path_factory.mktemp("tokens")
    with pods_site(kubeconfig, image_pull_policy="Never") as here:
        body = app(role(f"httpd -p {PORT} -h /tmp; {RUN}", ports={"rpc": PORT}, stop_seconds=1))
        wish, other = desired(cluster(), 2, body=body), desired(cluster(), body=body)
        for each in (wish, other):
            here.site.ensure_tenant(each.cluster.tenant_id, each.cluster.tenant, LIMITS)
            make_ready(here.site, each)
        home = names.namespace(wish.cluster.tenant_id)
        make_admin(here.client, home, "alice")
        who = {"node": names.run_root(wish.cluster.id, wish.run), "alice": "alice"}
        clients = {name: acting_as(here.client, kubeconfig, folder, home, who[name]) for name in who}
        found = Tenant(here, here.client, **clients, wish=wish, other=other)
        until(lambda: may(found.alice, "create", "", "pods", home), 20)
        until(lambda: counted(found), 20)
        yield found


def make_admin(admin: Client, home: str, name: str) -> None:
    admin.create(paths.service_accounts(home), {"metadata": {"name": name}})
    granted = {"apiGroup": bindings.RBAC, "kind": "ClusterRole", "name": "admin"}
    to = {"kind": "ServiceAccount", "name": name, "namespace": home}
    admin.create(
        paths.role_bindings(home), {"metadata": {"name": name}, "roleRef": granted, "subjects": [to]}
    )


def acting_as(admin: Client, kubeconfig: Path, folder: Path, home: str, account: str) -> Client:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = admin.create(f"{paths.service_accounts(home, account)}/token", body)
    token, authority = folder / account, folder / "ca.crt"
    token.write_text(answer["status"]["token"])
    server = cluster_of(kubeconfig)
    authority.write_bytes(authority_of(server))
    reach = Reach(server=server["server"], token_file=str(token), ca_file=str(authority))
    return Client(reach, purpose="test")


def counted(tenant: Tenant) -> bool:
    """Whether the API server enforces the quota of the tenant already."""
    found = tenant.admin.get(paths.quotas(tenant.home, QUOTA)) or {}
    return bool((found.get("status") or {}).get("used"))


# -- rights -------------------------------------------------------------------------------------------------------


def may(client: Client, verb: str, group: str, resource: str, namespace: str = "") -> bool:
    """resource: like "pods" or "pods/exec"."""
    name, _, subresource = resource.partition("/")
    review = {"verb": verb, "group": group, "resource": name, "subresource": subresource}
    body = {"spec": {"resourceAttributes": {**review, "namespace": namespace}}}
    return bool(client.create(REVIEWS, body)["status"]["allowed"])


def granted(client: Client, kinds: list[tuple[str, str]], namespace: str = "") -> set[tuple[str, str, str]]:
    """(group, resource, verb) of everything that is allowed there."""
    rights = [(group, resource, verb) for group, resource in kinds for verb in VERBS]
    calls = [partial(may, client, verb, group, resource, namespace) for group, resource, verb in rights]
    return {right for right, allowed in zip(rights, in_parallel(calls), strict=True) if allowed}


def kinds_of(admin: Client, *, namespaced: bool) -> list[tuple[str, str]]:
    """(group, resource) of everything in the API, with subresources such as "nodes/proxy"."""
    groups = [group["preferredVersion"]["groupVersion"] for group in (admin.get("/apis") or {})["groups"]]
    return [
        (group.rpartition("/")[0], kind["name"])
        for group in ("v1", *groups)
        for kind in (admin.get(f"/apis/{group}" if "/" in group else f"/api/{group}") or {})["resources"]
        if kind["namespaced"] is namespaced
    ]


def refusal(call: Callable[[], object]) -> str:
    """The message with which the API server refuses; "" when it accepts."""
    try:
        call()
    except (Permanent, Temporary) as error:
        return error.message
    return ""


def make(client: Client, path: str, body: Body) -> str:
    return refusal(lambda: client.create(path + DRY, body))


# -- checks -------------------------------------------------------------------------------------------------------


def cluster_resources(tenant: Tenant) -> None:
    kinds = kinds_of(tenant.admin, namespaced=False)
    assert {("", "nodes"), ("", "nodes/proxy"), ("", "persistentvolumes")} <= set(kinds)
    assert len(granted(tenant.admin, kinds)) == len(kinds) * len(VERBS)
    for client in tenant.both.values():
        assert granted(client, kinds) == OF_EVERYBODY


def multitenant_resources(tenant: Tenant) -> None:
    of_admin = (paths.quotas, paths.limit_ranges, paths.network_policies)
    ours = manifests.ours(tenant.here.site.settings)
    found = [
        path(tenant.home, body["metadata"]["name"])
        for path in of_admin
        for body in tenant.admin.list(path(tenant.home), labels=ours).items
    ]
    assert len(found) == 1 + 1 + 3
    for each in [*found, paths.namespaces(tenant.home)]:
        change = {"metadata": {"annotations": {"key": "value"}}}
        assert tenant.admin.patch(each + DRY, change)
        assert "cannot patch" in refusal(partial(tenant.node.patch, each + DRY, change))
        assert "cannot delete" in refusal(partial(tenant.node.delete, each + DRY))


def other_tenants_resources(tenant: Tenant) -> None:
    kinds = kinds_of(tenant.admin, namespaced=True)
    assert len(granted(tenant.alice, kinds, tenant.home)) > 100
    for client in tenant.both.values():
        assert granted(client, kinds, tenant.foreign) == set()
    assert granted(tenant.node, kinds, tenant.home) == set()


def quota_modification(tenant: Tenant) -> None:
    quota = paths.quotas(tenant.home, QUOTA)
    change = {"spec": {"hard": {"pods": "9000"}}}
    assert tenant.admin.patch(quota + DRY, change)
    for client in tenant.both.values():
        assert "cannot patch" in refusal(partial(client.patch, quota + DRY, change))
        assert "cannot delete" in refusal(partial(client.delete, quota + DRY))
        assert "cannot create" in make(client, paths.quotas(tenant.home), {"metadata": {"name": "mine"}})


def resource_quotas(tenant: Tenant) -> None:
    """The quota refuses the pod and the volume only because of their size."""
    found = tenant.admin.get(paths.quotas(tenant.home, QUOTA)) or {}
    assert {"requests.cpu", "requests.memory", "limits.memory", "requests.storage"} <= set(
        found["spec"]["hard"]
    )
    for cpu, words in (("50m", ""), ("9000m", "exceeded quota")):
        pod = tenant.pod()
        pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = cpu
        pod["spec"]["containers"][0]["resources"]["limits"]["cpu"] = "9000m"
        assert_said(make(tenant.alice, paths.pods(tenant.home), pod), words)
    for size, words in (("1Gi", ""), ("200Gi", "exceeded quota")):
        assert_said(make(tenant.alice, paths.volumes(tenant.home), claim(size)), words)


def object_limits(tenant: Tenant) -> None:
    found = tenant.admin.get(paths.quotas(tenant.home, QUOTA)) or {}
    kinds = {"pods", "configmaps", "secrets", "services", "persistentvolumeclaims"}
    assert kinds | {"services.nodeports", "services.loadbalancers"} <= set(found["status"]["hard"])
    assert int(found["status"]["used"]["pods"]) == 2


def node_ports(tenant: Tenant) -> None:
    for kind, words in (
        ("ClusterIP", ""),
        ("NodePort", "exceeded quota"),
        ("LoadBalancer", "exceeded quota"),
    ):
        body = {"metadata": {"name": "tried"}, "spec": {"type": kind, "ports": [{"port": 80}]}}
        assert_said(make(tenant.alice, paths.services(tenant.home), body), words)
        assert "cannot create" in make(tenant.node, paths.services(tenant.home), body)


def image_pull(tenant: Tenant) -> None:
    """The site admin sets the pull policy for all; members of a tenant cannot create pods."""
    for policy in ("Always", "Never"):
        pods = of_kind(objects(tenant.wish, replace(SETTINGS, image_pull_policy=policy)), "Pod")
        said = [each["imagePullPolicy"] for pod in pods for each in pod["spec"]["containers"]]
        assert said == [policy] * 2
    assert "cannot create" in make(tenant.node, paths.pods(tenant.home), tenant.pod())


def existing_volumes(tenant: Tenant) -> None:
    """A claim on the volume of another tenant is never bound to it."""
    body = claim("16Mi", "theirs", bound_volume(tenant, tenant.other)["metadata"]["name"])
    assert "cannot create" in make(tenant.node, paths.volumes(tenant.home), body)
    tenant.alice.create(paths.volumes(tenant.home), body)
    events = paths.namespaced(paths.CORE, tenant.home, "events")
    until(
        lambda: any("bound to a different claim" in message for message in messages(tenant.admin, events)), 30
    )
    found = tenant.admin.get(paths.volumes(tenant.home, "theirs")) or {}
    assert found["status"]["phase"] == "Pending"


def reclaim_policy(tenant: Tenant) -> None:
    spec = bound_volume(tenant, tenant.wish)["spec"]
    assert spec["persistentVolumeReclaimPolicy"] == "Delete"


def network_across(tenant: Tenant) -> None:
    found = tenant.admin.get(paths.pods(tenant.home, names.pod(tenant.wish.cluster.id, "worker-0"))) or {}
    address = found["status"]["podIP"]
    until(lambda: reaches(tenant.here, tenant.wish, "worker-1", address), 20)
    until(lambda: not reaches(tenant.here, tenant.other, "worker-0", address), 20)
    assert reaches(tenant.here, tenant.wish, "worker-1", address)
    assert not reaches(tenant.here, tenant.other, "worker-0", address)


def is_locked(change: Body, words: str, tenant: Tenant, *, of_pod: bool = False) -> None:
    """The pod is accepted unchanged. It is refused with this change, also in an init container."""
    assert make(tenant.alice, paths.pods(tenant.home), tenant.pod()) == ""
    for kind in ("containers", "initContainers"):
        pod = tenant.pod()
        [container] = pod["spec"]["containers"]
        bare = {key: value for key, value in container.items() if not key.endswith("Probe")}
        pod["spec"].setdefault(kind, [{**copy.deepcopy(bare), "name": "first"}])
        merge(pod["spec"] if of_pod else pod["spec"][kind][0], change)
        refused = make(tenant.alice, paths.pods(tenant.home), pod)
        assert "violates PodSecurity" in refused
        assert words in refused
        assert "cannot create" in make(tenant.node, paths.pods(tenant.home), pod)


# -- helpers ------------------------------------------------------------------------------------------------------


def assert_said(said: str, words: str) -> None:
    """words: "" for no refusal."""
    assert words in said if words else said == ""


def merge(body: Body, change: Body) -> None:
    """Objects are merged; a list grows by new items."""
    for key, value in change.items():
        if isinstance(value, dict):
            merge(body.setdefault(key, {}), value)
        elif isinstance(value, list):
            body[key] = [*body.get(key, []), *value]
        else:
            body[key] = value


def claim(size: str, name: str = "tried", volume: str = "") -> Body:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return {"metadata": {"name": name}, "spec": {**spec, **({"volumeName": volume} if volume else {})}}


def bound_volume(tenant: Tenant, wish: Desired) -> Body:
    home = names.namespace(wish.cluster.tenant_id)
    found = tenant.admin.get(paths.volumes(home, names.volume(wish.cluster.id, "worker-0"))) or {}
    volume = tenant.admin.get(f"{paths.CORE}/persistentvolumes/{found['spec']['volumeName']}")
    assert volume
    return volume


def messages(admin: Client, path: str) -> list[str]:
    return [str(body.get("message")) for body in admin.list(path).items]


def reaches(here: Pods, of: Desired, name: str, address: str) -> bool:
    ran = here.execute(of.cluster, name, "sh", "-c", TRY, "try", f"it {address} {PORT}")
    return parse_output(ran.stdout.decode())["it"]


# -- the table ----------------------------------------------------------------------------------------------------


def locked(words: str, **change: Any) -> Callable[[Tenant], None]:
    return partial(is_locked, {"securityContext": change}, words)


def locked_pod(words: str, **change: Any) -> Callable[[Tenant], None]:
    return partial(is_locked, change, words, of_pod=True)


CHECKS: Mapping[str, tuple[Callable[[Tenant], None], ...]] = {
    "Block access to cluster resources": (cluster_resources,),
    "Block access to multitenant resources": (multitenant_resources,),
    "Block access to other tenant resources": (other_tenants_resources,),
    "Block add capabilities": (
        locked("unrestricted capabilities", capabilities={"add": ["NET_ADMIN"]}),
        locked("unrestricted capabilities", capabilities={"add": ["CHOWN"]}),
    ),
    "Require image pull always": (image_pull,),
    "Require run as non-root user": (
        locked("runAsNonRoot != true", runAsNonRoot=False),
        locked("runAsUser=0", runAsUser=0),
        locked_pod("runAsNonRoot != true", securityContext={"runAsNonRoot": False}),
    ),
    "Block privileged containers": (
        locked("privileged=true", privileged=True, allowPrivilegeEscalation=True),
    ),
    "Block privilege escalation": (
        locked("allowPrivilegeEscalation != false", allowPrivilegeEscalation=True),
    ),
    "Configure namespace resource quotas": (resource_quotas,),
    "Configure namespace object limits": (object_limits,),
    "Block use of host path volumes": (
        locked_pod("hostPath", volumes=[{"name": "machine", "hostPath": {"path": "/"}}]),
    ),
    "Block use of NodePort services": (node_ports,),
    "Block use of host networking and ports": (
        locked_pod("hostNetwork=true", hostNetwork=True),
        partial(is_locked, {"ports": [{"containerPort": 8081, "hostPort": 8081}]}, "hostPort"),
    ),
    "Block use of host PID": (locked_pod("hostPID=true", hostPID=True),),
    "Block use of host IPC": (locked_pod("hostIPC=true", hostIPC=True),),
    "Block modification of resource quotas": (quota_modification,),
    "Require PersistentVolumeClaim for storage": (
        locked_pod(
            "restricted volume types", volumes=[{"name": "far", "nfs": {"server": "files", "path": "/"}}]
        ),
    ),
    "Require PV reclaim policy of delete": (reclaim_policy,),
    "Block use of existing PVs": (existing_volumes,),
    "Block network access across tenant namespaces": (network_across,),
}


@pytest.mark.parametrize("title", CHECKS)
def test_level_one(tenant: Tenant, title: str):
    for check in CHECKS[title]:
        check(tenant)


def test_the_whole_level_is_checked():
    print(f"{len(CHECKS)} checks of level 1, made in {sum(map(len, CHECKS.values()))} ways")
    assert len(CHECKS) == 20
    assert all(CHECKS.values())


def test_no_node_is_given_a_token(tenant: Tenant):
    said = tenant.here.shell(tenant.wish.cluster, "worker-0", "mount; ls /var/run/secrets 2>&1 || true")
    assert "/work" in said
    assert "serviceaccount" not in said
