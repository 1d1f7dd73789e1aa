"""A listing finds objects that a person changed or deleted, and the provisioner repairs them, on a real API server."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from controlplane.provisioners.base import ClusterRef, Desired, DriftedTenant, DriftKind, TenantMissing
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.objects import names, paths, tenant
from controlplane.provisioners.kubernetes.provisioner import KubernetesProvisioner
from templates.schema import File
from tests.provisioners.kubernetes.shipped import shipped
from tests.provisioners.launching import (
    app,
    cluster,
    desired,
    listed,
    make_ready,
    role,
    tenant_removed,
    until,
)

pytestmark = [pytest.mark.kube, pytest.mark.timeout(240)]

ENFORCE = "pod-security.kubernetes.io/enforce"
OPEN: dict[str, Any] = {"spec": {"ingress": [{}], "egress": [{}]}}
LIMITS = {"cpu": 8000}


@dataclass(frozen=True)
class There:
    """A running cluster under the shipped accounts, and an admin client that changes its objects."""

    admin: Client
    site: KubernetesProvisioner
    wish: Desired

    @property
    def of(self) -> ClusterRef:
        return self.wish.cluster

    @property
    def place(self) -> str:
        return names.namespace(self.of.tenant_id)

    @property
    def run(self) -> str:
        return names.run_root(self.of.id, 1)

    def is_suspected(self) -> bool:
        return DriftedTenant(self.of.tenant_id) in list(self.site.list_all())

    def drift(self) -> set[tuple[str, DriftKind]]:
        [found] = [each for each in listed(self.site) if each.cluster_id == self.of.id]
        return {(each.kind, each.how) for each in found.drift}

    def ensure(self) -> set[tuple[str, DriftKind]]:
        found = self.site.ensure_tenant(self.of.tenant_id, self.of.tenant, LIMITS)
        return {(each.kind, each.how) for each in found}


@pytest.fixture(scope="module")
def there(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    with shipped(kubeconfig, tmp_path_factory.mktemp("accounts")) as accounts:
        site = KubernetesProvisioner(accounts.settings)
        of = cluster()
        site.ensure_tenant(of.tenant_id, of.tenant, LIMITS)
        # The pod mounts a Secret because its role has a file.
        wish = desired(of, body=app(role(files=(File("etc/conf", "a=1\n"),), stop_seconds=1)))
        make_ready(site, wish)
        try:
            yield There(accounts.admin, site, wish)
        finally:
            tenant_removed(site, of.tenant_id)


Change = Callable[[There], object]
TENANT_CHANGES: dict[str, tuple[Change, str, DriftKind]] = {
    "the default deny is deleted": (
        lambda at: at.admin.delete(paths.network_policies(at.place, tenant.DENY)),
        "NetworkPolicy",
        DriftKind.DELETED,
    ),
    "the default deny is opened": (
        lambda at: at.admin.patch(paths.network_policies(at.place, tenant.DENY), OPEN),
        "NetworkPolicy",
        DriftKind.CHANGED,
    ),
    "the quota is raised": (
        lambda at: at.admin.patch(
            paths.quotas(at.place, tenant.QUOTA), {"spec": {"hard": {"services.nodeports": "5"}}}
        ),
        "ResourceQuota",
        DriftKind.CHANGED,
    ),
    "the defaults are deleted": (
        lambda at: at.admin.delete(paths.limit_ranges(at.place, tenant.DEFAULTS)),
        "LimitRange",
        DriftKind.DELETED,
    ),
    "the defaults are changed": (
        lambda at: at.admin.patch(
            paths.limit_ranges(at.place, tenant.DEFAULTS), {"spec": {"limits": [{"type": "Pod"}]}}
        ),
        "LimitRange",
        DriftKind.CHANGED,
    ),
    "a binding is given to another user": (
        lambda at: at.admin.patch(
            paths.role_bindings(at.place, "slipway-exec"),
            {"subjects": [{"kind": "User", "name": "mallory", "apiGroup": "rbac.authorization.k8s.io"}]},
        ),
        "RoleBinding",
        DriftKind.CHANGED,
    ),
    "a binding is to another role": (lambda at: rebind(at), "RoleBinding", DriftKind.CHANGED),
    "Pod Security is not enforced": (
        lambda at: at.admin.patch(paths.namespaces(at.place), {"metadata": {"labels": {ENFORCE: None}}}),
        "Namespace",
        DriftKind.CHANGED,
    ),
    "Pod Security is privileged": (
        lambda at: at.admin.patch(
            paths.namespaces(at.place), {"metadata": {"labels": {ENFORCE: "privileged"}}}
        ),
        "Namespace",
        DriftKind.CHANGED,
    ),
}


def rebind(at: There) -> None:
    """Replaces a RoleBinding by one to another role. A role is immutable there, so a patch cannot repair it."""
    path = paths.role_bindings(at.place, "slipway-logs")
    found = at.admin.get(path)
    assert found
    at.admin.delete(path)
    about = {key: found["metadata"][key] for key in ("name", "labels", "annotations")}
    other = {"apiGroup": paths.RBAC.split("/")[2], "kind": "ClusterRole", "name": "view"}
    body = {"metadata": about, "roleRef": other, "subjects": found["subjects"]}
    at.admin.create(paths.role_bindings(at.place), body)


@pytest.mark.parametrize("case", TENANT_CHANGES)
def test_drift_of_a_tenant_is_found_and_repaired(there: There, case: str):
    change, kind, how = TENANT_CHANGES[case]
    assert not there.is_suspected()
    change(there)
    assert there.is_suspected()
    assert there.ensure() == {(kind, how)}
    assert not there.is_suspected()


def test_a_changed_limit_is_no_drift(there: There):
    found = there.site.ensure_tenant(there.of.tenant_id, there.of.tenant, {"cpu": 9000})
    assert (found, there.is_suspected()) == ((), False)
    assert there.ensure() == set()


def test_no_pod_is_created_without_pod_security(there: There, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("controlplane.provisioners.kubernetes.provisioner.FENCED_SECONDS", 0.0)
    there.admin.patch(paths.namespaces(there.place), {"metadata": {"labels": {ENFORCE: None}}})
    with pytest.raises(TenantMissing, match="NAMESPACE_CHANGED"):
        there.site.apply(there.wish)
    assert there.ensure() == {("Namespace", DriftKind.CHANGED)}
    there.site.apply(there.wish)


RUN_CHANGES: dict[str, tuple[Change, str, DriftKind]] = {
    "its Service is deleted": (
        lambda at: at.admin.delete(paths.services(at.place, at.run)),
        "Service",
        DriftKind.DELETED,
    ),
    "its Service selects others": (
        lambda at: at.admin.patch(paths.services(at.place, at.run), {"spec": {"selector": {"x": "y"}}}),
        "Service",
        DriftKind.CHANGED,
    ),
    "its Service has another address": (lambda at: readdress(at), "Service", DriftKind.CHANGED),
    "its NetworkPolicy is deleted": (
        lambda at: at.admin.delete(paths.network_policies(at.place, at.run)),
        "NetworkPolicy",
        DriftKind.DELETED,
    ),
    "its NetworkPolicy is opened": (
        lambda at: at.admin.patch(paths.network_policies(at.place, at.run), OPEN),
        "NetworkPolicy",
        DriftKind.CHANGED,
    ),
    "its account mounts tokens": (
        lambda at: at.admin.patch(
            paths.service_accounts(at.place, at.run), {"automountServiceAccountToken": True}
        ),
        "ServiceAccount",
        DriftKind.CHANGED,
    ),
    "its files are deleted": (lambda at: delete_assets(at), "ConfigMap", DriftKind.DELETED),
    "its Secret is deleted": (lambda at: delete_secrets(at), "Secret", DriftKind.DELETED),
}


def readdress(at: There) -> None:
    """Replaces the Service by one with a cluster address; it is immutable, so a patch cannot repair it."""
    found = at.admin.get(paths.services(at.place, at.run))
    assert found
    at.admin.delete(paths.services(at.place, at.run))
    about = {key: found["metadata"][key] for key in ("name", "labels", "annotations", "ownerReferences")}
    spec = {"selector": found["spec"]["selector"], "ports": [{"port": 80}]}
    at.admin.create(paths.services(at.place), {"metadata": about, "spec": spec})


def delete_assets(at: There) -> None:
    for body in at.admin.list(paths.config_maps(at.place), labels={names.COMPONENT: "payload"}).items:
        at.admin.delete(paths.config_maps(at.place, body["metadata"]["name"]))


def delete_secrets(at: There) -> None:
    for body in at.admin.list(paths.secrets(at.place)).items:
        at.admin.delete(paths.secrets(at.place, body["metadata"]["name"]))


@pytest.mark.parametrize("case", RUN_CHANGES)
def test_drift_of_a_run_is_found_and_repaired(there: There, case: str):
    change, kind, how = RUN_CHANGES[case]
    assert there.drift() == set()
    change(there)
    # The quota counts a deleted Secret for a moment longer.
    until(lambda: (kind, how) in there.drift())
    assert there.drift() == {(kind, how)}
    there.site.apply(replace(there.wish, repair=True))
    until(lambda: not there.drift())
