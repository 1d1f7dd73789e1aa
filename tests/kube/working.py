"""Runs a worker without a watch in the test process, for one tenant's clusters on a real Kubernetes."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from controlplane.clusters.models import Cluster, Site
from controlplane.clusters.models.site import SiteKind
from controlplane.clusters.phases import Verb
from controlplane.clusters.services import cluster_create
from controlplane.clusters.services.create import ClusterRequest
from controlplane.clusters.services.verbs import VerbRequest, cluster_verb
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.objects import names, paths
from controlplane.provisioners.kubernetes.provisioner import KubernetesProvisioner
from controlplane.provisioners.kubernetes.site import check
from controlplane.reconciler.site.provisioning import provisioner_of
from controlplane.reconciler.worker import Worker
from controlplane.work.models import Kind
from controlplane.work.wake import wake
from templates import services
from templates.parsing import parse_app
from tenants.access import Access, tenant_for
from tenants.actors import actor_for, system_actor
from tests.cast import cast
from tests.journeys.engine import ENGINE, TEMPLATE
from tests.provisioners.launching import IMAGE, tenant_removed, until

Body = dict[str, Any]


@dataclass
class Working:
    """A tenant on a site. Its waits wake the site repeatedly, so that the worker lists it."""

    access: Access
    site: Site

    @property
    def client(self) -> Client:
        found = provisioner_of(self.site)
        assert isinstance(found, KubernetesProvisioner)
        return found.accounts.client("provision")

    @property
    def place(self) -> str:
        return names.namespace(self.access.tenant.pk)

    def launch(self, name: str, **groups: Mapping[str, Any]) -> UUID:
        made = self.begin(name, **groups)
        self.until(made, "ready")
        return made

    def begin(self, name: str, **groups: Mapping[str, Any]) -> UUID:
        """Request a cluster without waiting for it."""
        request = ClusterRequest("sleepers", groups, {}, site=self.site.name)
        return cluster_create(access=self.access, name=name, request=request).pk

    def ask(self, cluster: UUID, verb: Verb, phase: str, **fields: Any) -> None:
        """Request a verb and wait until the cluster has settled in `phase`."""
        cluster_verb(access=self.access, cluster=str(cluster), request=VerbRequest(verb, **fields))
        self.until(cluster, phase)

    def until(self, cluster: UUID, phase: str) -> None:
        def settled() -> bool:
            found = Cluster.objects.get(pk=cluster)
            return found.phase == phase and found.generation == found.observed_generation

        self.until_true(settled)

    def until_true(self, condition: Callable[[], object]) -> None:
        def holds() -> object:
            wake(Kind.SITE, self.site.pk)
            return condition()

        until(holds)

    def pods(self, cluster: UUID) -> dict[str, str]:
        """Node -> the uid of its pod."""
        found = self.client.list(paths.pods(self.place), labels={names.CLUSTER: str(cluster)}).items
        return {pod["metadata"]["labels"][names.NODE]: pod["metadata"]["uid"] for pod in found}

    def kill(self, cluster: UUID, node: str) -> None:
        self.client.delete(paths.pods(self.place, names.pod(cluster, node)), grace=0)


@contextmanager
def working(kubeconfig: Path, *, image: str = IMAGE, **settings: Any) -> Iterator[Working]:
    """Run the worker. settings: of the site, besides its accounts. Removes all from the Kubernetes at the end."""
    access = tenant_for(actor_for(cast().alice), "acme")
    _offer_template(access, image)
    given = {"accounts": {"provision": {"kubeconfig": str(kubeconfig)}}, **settings}
    site = Site.objects.create(name="pods", kind=SiteKind.KUBERNETES, settings=given)
    wake(Kind.SITE, site.pk)
    made = Working(access, site)
    try:
        with _worker():
            until(lambda: Site.objects.get(pk=site.pk).ready)
            yield made
    finally:
        _clean(made)


@contextmanager
def _worker() -> Iterator[None]:
    worker = Worker(threads=2, observe=False)
    thread = threading.Thread(target=worker.run, name="worker")
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join()


def _offer_template(access: Access, image: str) -> None:
    app = {**ENGINE, "runtimes": {"plain": {"image": image}}}
    services.app_register(actor=system_actor(), app=parse_app(app))
    services.template_create(access=access, name="sleepers", body=TEMPLATE)
    services.template_publish(access=access, template="sleepers")


def _clean(made: Working) -> None:
    provisioner = provisioner_of(made.site)
    assert isinstance(provisioner, KubernetesProvisioner)
    tenant_removed(provisioner, made.access.tenant.pk)
    check.release(provisioner.settings)
