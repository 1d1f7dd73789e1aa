"""The life of a cluster uses every permission of the shipped accounts, and needs no other."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from controlplane.provisioners.base import ClusterRef, NodeObservation
from controlplane.provisioners.kubernetes.client.client import Client, Events, Listing
from controlplane.provisioners.kubernetes.client.exec import ExecResult, run
from controlplane.provisioners.kubernetes.client.streams import Stream
from controlplane.provisioners.kubernetes.objects import names, paths
from controlplane.provisioners.kubernetes.objects.body import Body
from controlplane.provisioners.kubernetes.observations.warnings import last_warning
from controlplane.provisioners.kubernetes.provisioner import KubernetesProvisioner
from controlplane.provisioners.kubernetes.runs import leftovers
from controlplane.provisioners.kubernetes.settings import ACCOUNTS, SiteSettings
from controlplane.provisioners.kubernetes.site import permissions
from controlplane.provisioners.kubernetes.site.permissions import Right
from tests.provisioners.kubernetes.runs.test_drift import RUN_CHANGES, TENANT_CHANGES, There
from tests.provisioners.kubernetes.shipped import shipped
from tests.provisioners.launching import (
    cluster,
    desired,
    first,
    listed,
    make_ready,
    removed,
    states,
    tenant_removed,
    until,
)

pytestmark = [pytest.mark.kube, pytest.mark.timeout(180)]
Used = dict[str, set[Right]]


class RecordingClient(Client):
    """Records the permission that each call needs."""

    def __init__(self, settings: SiteSettings, account: str, used: Used) -> None:
        super().__init__(settings.reach(account), purpose=f"test-{account}")
        self._account, self._used = account, used

    def note(self, verb: str, path: str) -> None:
        parts = path.partition("?")[0].strip("/").split("/")
        group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
        if rest[0] == "namespaces" and len(rest) > 2:
            rest = rest[2:]
        resource = "/".join([rest[0], *rest[2:]])
        self._used[self._account].add(Right(group, resource, verb))

    def get(self, path: str) -> Body | None:
        self.note("get", path)
        return super().get(path)

    def create(self, path: str, body: Body) -> Body:
        self.note("create", path)
        return super().create(path, body)

    def patch(self, path: str, body: Body) -> Body | None:
        self.note("patch", path)
        return super().patch(path, body)

    def delete(self, path: str, **options: Any) -> bool:
        self.note("delete", path)
        return super().delete(path, **options)

    def delete_collection(self, path: str, **options: Any) -> None:
        self.note("deletecollection", path)
        super().delete_collection(path, **options)

    def list(self, path: str, *, labels: Mapping[str, str] | None = None) -> Listing:
        self.note("list", path)
        return super().list(path, labels=labels)

    def gather(self, path: str, **options: Any) -> Sequence[Any]:
        self.note("list", path)
        return super().gather(path, **options)

    def version(self, path: str) -> str:
        self.note("list", path)
        return super().version(path)

    def watch(self, path: str, **options: Any) -> Events:
        self.note("watch", path)
        return super().watch(path, **options)

    def text(self, path: str, **query: str) -> bytes:
        self.note("get", path)
        return super().text(path, **query)

    def stream(self, path: str, **query: str) -> Stream:
        self.note("get", path)
        return super().stream(path, **query)


@dataclass
class Accounts:
    settings: SiteSettings
    used: Used = field(default_factory=lambda: defaultdict(set))
    clients: dict[str, Client] = field(default_factory=dict)

    def client(self, account: str) -> Client:
        if account not in self.clients:
            self.clients[account] = RecordingClient(self.settings, account, self.used)
        return self.clients[account]

    def run(self, namespace: str, pod: str, command: Sequence[str], *, seconds: float) -> ExecResult:
        # Which of the two is needed depends on the API server's version.
        self.used["exec"] |= {Right("", "pods/exec", "get"), Right("", "pods/exec", "create")}
        return run(self.client("exec"), namespace, pod, command, seconds=seconds)


def news(site: KubernetesProvisioner) -> Iterator[NodeObservation | None]:
    return iter(site.events())


def change_and_repair(at: There) -> None:
    """Makes each change of test_drift as an admin, and repairs it with the shipped accounts."""
    for change, _, _ in TENANT_CHANGES.values():
        change(at)
        assert at.is_suspected()
        assert at.ensure()
    for change, _, _ in RUN_CHANGES.values():
        change(at)
        at.site.apply(replace(at.wish, repair=True))


def live_and_die(admin: Client, site: KubernetesProvisioner, of: ClusterRef) -> None:
    """Calls everything that a provisioner can do, once."""
    site.ensure_tenant(of.tenant_id, of.tenant, {})
    site.ensure_tenant(of.tenant_id, of.tenant, {"cpu": 4000})
    watching = news(site)
    assert next(watching) is None
    wish = desired(of, 2)
    make_ready(site, wish)
    change_and_repair(There(admin, site, wish))
    pod = admin.get(paths.pods(names.namespace(of.tenant_id), names.pod(of.id, "worker-0")))
    assert pod
    last_warning(site.accounts.client("provision"), pod)
    assert next(watching) is not None
    assert site.logs(of, first(wish), tail_bytes=100)
    assert next(iter(site.follow(of, first(wish)))) is not None
    assert site.load(of, [first(wish)])
    site.begin_drain(of, [first(wish)], 10)
    assert of.id in {found.cluster_id for found in listed(site)}
    assert site.capacity()
    fewer = desired(of, 1, generation=2)
    site.apply(fewer)
    until(lambda: set(states(site, of)) == {("worker-0", 1)})
    site.end_run(of, 1, force=True)
    site.apply(desired(of, 1, run=2, has_data=True))
    until(lambda: removed(site, of))
    assert of.id not in {found.cluster_id for found in listed(site)}


def test_every_right_is_used_and_none_is_missing(
    kubeconfig: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # Tombstones expire at once, so that their deletion is recorded, too.
    monkeypatch.setattr(leftovers, "TOMBSTONE_LIFETIME", -leftovers.TOMBSTONE_LIFETIME)
    with shipped(kubeconfig, tmp_path) as accounts:
        noted = Accounts(accounts.settings)
        site, of = KubernetesProvisioner(accounts.settings, noted), cluster()
        try:
            live_and_die(accounts.admin, site, of)
        finally:
            tenant_removed(site, of.tenant_id)
    # No call needs the verb "bind" itself; the API server checks it when a binding is created.
    noted.used["namespaces"] |= {r for r in permissions.rights("namespaces") if r.verb == "bind"}
    for account in ACCOUNTS:
        granted = set(permissions.rights(account))
        print(account, "uses", len(noted.used[account]), "of", len(granted))
        assert noted.used[account] == granted, account
