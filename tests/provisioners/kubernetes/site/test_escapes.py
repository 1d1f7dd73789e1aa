"""Calls that an attacker with a stolen account would try are refused, and the work of each account is allowed.

Unlike the shipped roles, this test lets the account "namespaces" patch namespaces, to prove that the admission policy
refuses a call even where the roles allow it.
"""

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.errors import AlreadyExists
from controlplane.provisioners.kubernetes.client.exec import run
from controlplane.provisioners.kubernetes.objects import bindings, paths
from controlplane.provisioners.kubernetes.objects.body import Body
from controlplane.provisioners.kubernetes.objects.names import GATEWAY, INSTALLATION
from controlplane.provisioners.kubernetes.site import check, probes
from tests.provisioners.kubernetes.shipped import DRY_NAMESPACE, Shipped, eventually, refusal, shipped

pytestmark = pytest.mark.kube
DRY = "?dryRun=All"
NOTHING: Mapping[str, str | None] = {}
ENFORCE = "pod-security.kubernetes.io/enforce"
IMAGE = "localhost/none:1"


@dataclass(frozen=True)
class Stolen:
    """The shipped accounts, and a namespace that Slipway made."""

    shipped: Shipped
    home: str

    def client(self, account: str) -> Client:
        return self.shipped.client(account)

    def namespace(self, name: str = "", labels: Mapping[str, str | None] = NOTHING) -> Body:
        body = check.namespace(name or f"slipway-{secrets.token_hex(16)}", self.shipped.settings)
        changed = {**body["metadata"]["labels"], **labels}
        body["metadata"]["labels"] = {key: value for key, value in changed.items() if value is not None}
        return body

    def pod(self) -> Body:
        return probes.pod(probes.PEER, self.shipped.settings, IMAGE)

    def binding(self, role: str = "slipway-exec", to: str = "exec", of: str = bindings.HOME) -> Body:
        return {
            "metadata": {"name": role},
            "roleRef": {"apiGroup": bindings.RBAC, "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": to, "namespace": of}],
        }


@pytest.fixture(scope="module")
def stolen(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stolen]:
    with shipped(kubeconfig, tmp_path_factory.mktemp("accounts")) as accounts:
        home = f"slipway-{secrets.token_hex(16)}"
        settings = accounts.settings
        check.make(settings, [check.namespace(home, settings), *bindings.role_bindings(home, settings)])
        found = Stolen(accounts, home)
        try:
            assert eventually(lambda: not check.missing(settings, home))
            with widened(accounts.admin):
                assert eventually(lambda: refusal(lambda: marks(annotations={"slipway/x": "y"})(found)) == "")
                yield found
        finally:
            accounts.client("namespaces").delete(paths.namespaces(home))


@contextlib.contextmanager
def widened(admin: Client) -> Iterator[None]:
    about = {"metadata": {"name": "slipway-test-widened"}}
    rule = {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["patch", "update"]}
    role = {"apiGroup": bindings.RBAC, "kind": "ClusterRole", "name": "slipway-test-widened"}
    to = {"kind": "ServiceAccount", "name": "namespaces", "namespace": bindings.HOME}
    roles, cluster_bindings = f"{paths.RBAC}/clusterroles", f"{paths.RBAC}/clusterrolebindings"
    for path, body in ((roles, {"rules": [rule]}), (cluster_bindings, {"roleRef": role, "subjects": [to]})):
        with contextlib.suppress(AlreadyExists):
            admin.create(path, {**about, **body})
    try:
        yield
    finally:
        admin.delete(f"{cluster_bindings}/slipway-test-widened")
        admin.delete(f"{roles}/slipway-test-widened")


Attempt = Callable[[Stolen], object]


def makes(**labels: str | None) -> Attempt:
    return lambda at: at.client("namespaces").create(DRY_NAMESPACE, at.namespace(labels=labels))


def calls(name: str) -> Attempt:
    return lambda at: at.client("namespaces").create(DRY_NAMESPACE, at.namespace(name))


def marks(name: str = "", **about: Any) -> Attempt:
    return lambda at: at.client("namespaces").patch(
        paths.namespaces(name or at.home) + DRY, {"metadata": about}
    )


def binds(where: str = "", **binding: str) -> Attempt:
    return lambda at: at.client("namespaces").create(
        paths.role_bindings(where or at.home) + DRY, at.binding(**binding)
    )


def binds_anew(at: Stolen) -> object:
    """Creates a binding that exists already. The API server reports that only after the policy has allowed it."""
    with contextlib.suppress(AlreadyExists):
        binds()(at)
    return None


def starts(account: str, where: str = "") -> Attempt:
    return lambda at: at.client(account).create(paths.pods(where or at.home) + DRY, at.pod())


def starts_privileged(at: Stolen) -> object:
    return at.client("provision").create(paths.pods(at.home) + DRY, probes.privileged(at.pod()))


def lists(account: str, path: Callable[[str], str], where: str = "") -> Attempt:
    return lambda at: at.client(account).list(path(where if where != "home" else at.home))


def deletes(account: str, path: Callable[[str], str]) -> Attempt:
    return lambda at: at.client(account).delete(path(at.home) + DRY)


def runs(account: str) -> Attempt:
    return lambda at: run(at.client(account), at.home, "none", ["id"], seconds=5)


def mints(account: str) -> Attempt:
    token = f"/api/v1/namespaces/{bindings.HOME}/serviceaccounts/exec/token"
    return lambda at: at.client(account).create(token, {"spec": {}})


SYSTEM = "kube-system"
# Name -> (the call, words of the refusal).
ESCAPES: dict[str, tuple[Attempt, str]] = {
    "a namespace of another prefix": (calls("sales"), "own names only"),
    "a namespace that is almost ours": (calls("slipway-sales"), "own names only"),
    "the namespace of the accounts": (calls("slipway"), "own names only"),
    "a namespace that does not say whose it is": (
        makes(**{INSTALLATION: None}),
        "name Slipway and the installation",
    ),
    "a namespace without Pod Security": (makes(**{ENFORCE: None}), "stays restricted"),
    "a namespace with weaker Pod Security": (makes(**{ENFORCE: "baseline"}), "stays restricted"),
    "a namespace with old Pod Security": (makes(**{f"{ENFORCE}-version": "v1.20"}), "stays restricted"),
    "a namespace that opens pages": (makes(**{GATEWAY: "true"}), "other labels"),
    "Pod Security lowered": (marks(labels={ENFORCE: "privileged"}), "stays restricted"),
    "Pod Security taken away": (marks(labels={ENFORCE: None}), "stays restricted"),
    "a namespace made the gateway's": (marks(labels={GATEWAY: "true"}), "other labels"),
    "a namespace given to another": (marks(labels={INSTALLATION: "f" * 16}), "stays with"),
    "a namespace sent elsewhere": (
        marks(annotations={"scheduler.alpha.kubernetes.io/node-selector": "a=b"}),
        "other annotations",
    ),
    "the system's namespace marked": (marks(SYSTEM, annotations={"slipway/x": "y"}), "own names only"),
    "the system's namespace deleted": (
        lambda at: at.client("namespaces").delete(paths.namespaces("kube-node-lease") + DRY),
        "own names only",
    ),
    "itself bound in the system": (binds(SYSTEM, to="namespaces"), "namespaces that it made"),
    "provisioning bound in the system": (
        binds(SYSTEM, role="slipway-provision", to="provision"),
        "namespaces that it made",
    ),
    "commands bound where the accounts are": (binds(bindings.HOME), "namespaces that it made"),
    "itself made an admin of ours": (binds(role="cluster-admin", to="namespaces"), "not currently held"),
    "itself made to run commands": (binds(to="namespaces"), "Only the shipped account of the same name"),
    "a stranger made to run commands": (
        binds(to="exec", of="default"),
        "Only the shipped account of the same name",
    ),
    "commands for the provisioner": (binds(to="provision"), "Only the shipped account of the same name"),
    "everything bound everywhere": (
        lambda at: at.client("namespaces").create(
            f"{paths.RBAC}/clusterrolebindings{DRY}", at.binding("cluster-admin", "namespaces")
        ),
        "cannot create resource",
    ),
    "a pod by who makes namespaces": (starts("namespaces"), "cannot create"),
    "secrets by who makes namespaces": (lists("namespaces", paths.secrets, "home"), "cannot list"),
    "a pod in another namespace": (starts("provision", "default"), "cannot create"),
    "a pod in the system": (starts("provision", SYSTEM), "cannot create"),
    "a pod where the accounts are": (starts("provision", bindings.HOME), "cannot create"),
    "a pod that wants the machine": (starts_privileged, "violates PodSecurity"),
    "all secrets": (lists("provision", paths.secrets), "cannot list"),
    "secrets of the system": (lists("provision", paths.secrets, SYSTEM), "cannot list"),
    "secrets of the accounts": (lists("provision", paths.secrets, bindings.HOME), "cannot list"),
    "secrets of our own": (lists("provision", paths.secrets, "home"), "cannot list"),
    "all pods by the provisioner": (lists("provision", paths.pods), "cannot list"),
    "nodes": (lists("provision", lambda _: paths.nodes()), "cannot list"),
    "commands by the provisioner": (runs("provision"), "cannot get"),
    "a token of another account": (mints("provision"), "cannot create"),
    "the walls taken down": (
        deletes("provision", lambda at: paths.network_policies(at, "x")),
        "cannot delete",
    ),
    "the quota taken away": (deletes("provision", lambda at: paths.quotas(at, "x")), "cannot delete"),
    "a binding by the provisioner": (
        lambda at: at.client("provision").create(paths.role_bindings(at.home) + DRY, at.binding()),
        "cannot create",
    ),
    "a namespace by the provisioner": (
        lambda at: at.client("provision").create(DRY_NAMESPACE, at.namespace()),
        "cannot create",
    ),
    "a pod by who runs commands": (starts("exec"), "cannot create"),
    "pods by who runs commands": (lists("exec", paths.pods, "home"), "cannot list"),
    "commands in the system": (
        lambda at: run(at.client("exec"), SYSTEM, "none", ["id"], seconds=5),
        "cannot get",
    ),
    "a pod by who watches": (starts("observe"), "cannot create"),
    "a pod deleted by who watches": (deletes("observe", lambda at: paths.pods(at, "x")), "cannot delete"),
    "secrets by who watches": (lists("observe", paths.secrets), "cannot list"),
    "commands by who watches": (runs("observe"), "cannot get"),
    "logs by who watches": (
        lambda at: at.client("observe").text(paths.pod_log(at.home, "none")),
        "cannot get",
    ),
    "pods by who reads logs": (lists("logs", paths.pods, "home"), "cannot list"),
    "logs of the system": (lambda at: at.client("logs").text(paths.pod_log(SYSTEM, "none")), "cannot get"),
    "commands by who reads logs": (runs("logs"), "cannot get"),
}

ALLOWED: dict[str, Attempt] = {
    "a namespace of ours": makes(),
    "a note on a namespace of ours, where that is granted": marks(
        annotations={"slipway/tenant-name": "acme"}
    ),
    "a binding in a namespace of ours": binds_anew,
    "a restricted pod in a namespace of ours": starts("provision"),
    "pods of our own": lists("provision", paths.pods, "home"),
    "all pods by who watches": lists("observe", paths.pods),
    "logs of our own": lambda at: at.client("logs").text(paths.pod_log(at.home, "none")),
}


@pytest.mark.parametrize("escape", ESCAPES)
def test_an_escape_is_refused(stolen: Stolen, escape: str):
    attempt, words = ESCAPES[escape]
    assert words in refusal(lambda: attempt(stolen))


@pytest.mark.parametrize("work", ALLOWED)
def test_the_work_of_each_account_is_allowed(stolen: Stolen, work: str):
    assert refusal(lambda: ALLOWED[work](stolen)) == ""


def test_every_account_was_tried():
    print(f"{len(ESCAPES)} escapes, {len(ALLOWED)} allowed")
    assert len(ESCAPES) > 40
