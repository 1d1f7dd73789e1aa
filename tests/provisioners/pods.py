"""A new Kubernetes site for one test, with access to its pods. Nothing of it outlives the test."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane.provisioners.base import ClusterRef
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.exec import ExecResult
from controlplane.provisioners.kubernetes.objects import manifests, names, paths
from controlplane.provisioners.kubernetes.provisioner import KubernetesProvisioner
from controlplane.provisioners.kubernetes.settings import SiteSettings
from controlplane.provisioners.kubernetes.site import check


@dataclass
class Pods:
    site: KubernetesProvisioner

    @property
    def client(self) -> Client:
        return self.site.accounts.client("provision")

    def execute(self, of: ClusterRef, name: str, *command: str) -> ExecResult:
        """Run a command in a node."""
        return self.site.accounts.run(
            names.namespace(of.tenant_id), names.pod(of.id, name), command, seconds=4
        )

    def shell(self, of: ClusterRef, name: str, text: str) -> str:
        ran = self.execute(of, name, "/bin/sh", "-c", text)
        assert ran.exit_code == 0, ran
        return ran.stdout.decode()

    def break_node(self, of: ClusterRef, name: str) -> None:
        self.shell(of, name, "touch /work/stop")

    def lose_data(self, of: ClusterRef) -> None:
        place = names.namespace(of.tenant_id)
        for path in (paths.pods(place), paths.volumes(place)):
            for body in self.client.list(path, labels=manifests.of_cluster(of)).items:
                self.client.delete(f"{path}/{body['metadata']['name']}", grace=1)

    def clean(self) -> None:
        check.release(self.site.settings)
        spaces = self.site.accounts.client("namespaces")
        for body in spaces.list(paths.namespaces(), labels=manifests.ours(self.site.settings)).items:
            spaces.delete(paths.namespaces(body["metadata"]["name"]))


@contextmanager
def pods_site(kubeconfig: Path, **settings: Any) -> Iterator[Pods]:
    """A site of a new installation."""
    accounts = {"provision": {"kubeconfig": str(kubeconfig)}}
    raw = {"installation": secrets.token_hex(8), "accounts": accounts, **settings}
    made = Pods(KubernetesProvisioner(SiteSettings.parse(raw)))
    try:
        yield made
    finally:
        made.clean()
