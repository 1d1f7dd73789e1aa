"""The service accounts of deploy/kubernetes on a real API server, each with its own token."""

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from controlplane.provisioners.base import Permanent, Temporary
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.errors import AlreadyExists
from controlplane.provisioners.kubernetes.objects import paths
from controlplane.provisioners.kubernetes.objects.bindings import HOME
from controlplane.provisioners.kubernetes.objects.body import Body
from controlplane.provisioners.kubernetes.settings import ACCOUNTS, Reach, SiteSettings
from controlplane.provisioners.kubernetes.site import check, identity

SHIPPED = Path(__file__).resolve().parents[3] / "deploy" / "kubernetes"
FILES = ("accounts", "roles", "admission")
INSTALLATION = "00c0ffee00c0ffee"
SECONDS = 20.0

RBAC, ADMISSION = paths.RBAC, "/apis/admissionregistration.k8s.io/v1"
COLLECTIONS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": f"/api/v1/namespaces/{HOME}/serviceaccounts",
    "Secret": f"/api/v1/namespaces/{HOME}/secrets",
    "ClusterRole": f"{RBAC}/clusterroles",
    "ClusterRoleBinding": f"{RBAC}/clusterrolebindings",
    "ValidatingAdmissionPolicy": f"{ADMISSION}/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": f"{ADMISSION}/validatingadmissionpolicybindings",
}


@dataclass(frozen=True)
class Shipped:
    admin: Client
    settings: SiteSettings

    def client(self, account: str) -> Client:
        return check.client(self.settings.reach(account))


def documents(*names: str) -> list[Body]:
    texts = ((SHIPPED / f"{name}.yaml").read_text() for name in names)
    return [body for text in texts for body in yaml.safe_load_all(text)]


@contextmanager
def shipped(kubeconfig: Path, folder: Path, **settings: Any) -> Iterator[Shipped]:
    """Applies the manifests, and afterwards deletes those objects that did not exist before."""
    admin = Client(Reach(kubeconfig=str(kubeconfig)), purpose="test")
    made = [path for body in documents(*FILES) if (path := apply(admin, body))]
    accounts = {account: _reach(admin, kubeconfig, folder, account) for account in ACCOUNTS}
    parsed = SiteSettings.parse({"installation": INSTALLATION, "accounts": accounts, **settings})
    found = Shipped(admin, parsed)
    try:
        _wait_for_policies(found)
        yield found
    finally:
        going = [paths.namespaces(identity.CLAIM), *reversed(made)]
        for path in going:
            admin.delete(path)
        assert eventually(lambda: not any(admin.get(path) for path in going))


def apply(admin: Client, body: Body) -> str:
    """Creates or patches the object. Returns its path if it is new, else ""."""
    collection, name = COLLECTIONS[body["kind"]], body["metadata"]["name"]
    try:
        admin.create(collection, body)
    except AlreadyExists:
        admin.patch(f"{collection}/{name}", body)
        return ""
    return f"{collection}/{name}"


def _reach(admin: Client, kubeconfig: Path, folder: Path, account: str) -> dict[str, str]:
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3600},
    }
    answer = admin.create(f"{COLLECTIONS['ServiceAccount']}/{account}/token", request)
    token, ca = folder / f"{account}-token", folder / "ca.crt"
    token.write_text(answer["status"]["token"])
    server = cluster_of(kubeconfig)
    ca.write_bytes(authority_of(server))
    return {"server": server["server"], "token_file": str(token), "ca_file": str(ca)}


def cluster_of(kubeconfig: Path) -> dict[str, str]:
    """Returns the first cluster entry of the kubeconfig."""
    found: dict[str, str] = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]
    return found


def authority_of(cluster: dict[str, str]) -> bytes:
    if "certificate-authority-data" in cluster:
        return base64.b64decode(cluster["certificate-authority-data"])
    return Path(cluster["certificate-authority"]).read_bytes()


def _wait_for_policies(shipped: Shipped) -> None:
    """Waits until the API server enforces the new roles and admission policies, which takes some seconds."""
    foreign = check.namespace("slipway-foreign", shipped.settings)
    ours = check.namespace(f"slipway-{'0' * 32}", shipped.settings)
    account = shipped.client("namespaces")
    assert eventually(lambda: refusal(lambda: account.create(DRY_NAMESPACE, ours)) == "")
    assert eventually(lambda: "own names only" in refusal(lambda: account.create(DRY_NAMESPACE, foreign)))


DRY_NAMESPACE = "/api/v1/namespaces?dryRun=All"


def refusal(call: Any) -> str:
    """Returns the message with which the API server refuses the call, or "" if it accepts it."""
    try:
        call()
    except Permanent as error:
        return error.message
    except Temporary as error:
        if error.reason != "SITE_FORBIDS":
            raise
        return error.message
    return ""


def eventually(condition: Any, seconds: float = SECONDS) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
