"""The provisioner of a Kubernetes site. Each call is a few lines here and a module below.

It is stateless but for two caches: drain reports, and tenants that were ensured in the last seconds.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from controlplane.provisioners.base import (
    CALL_SECONDS,
    Capacity,
    ClusterObservation,
    ClusterRef,
    Desired,
    Drift,
    DriftedTenant,
    FoundCluster,
    Limits,
    Load,
    NodeObservation,
    NodeRef,
    NotYet,
    SiteVerdict,
    Temporary,
    TenantMissing,
)
from controlplane.provisioners.kubernetes.client.accounts import Accounts, Clients
from controlplane.provisioners.kubernetes.client.errors import AdmissionSlow
from controlplane.provisioners.kubernetes.client.parallel import time_budget
from controlplane.provisioners.kubernetes.objects import names, paths
from controlplane.provisioners.kubernetes.objects.body import Body, is_leaving, require_ours
from controlplane.provisioners.kubernetes.observations import load, observation, pod_logs, watch
from controlplane.provisioners.kubernetes.observations.reasons import NO_REASON, Reason
from controlplane.provisioners.kubernetes.observations.survey import survey
from controlplane.provisioners.kubernetes.observations.warnings import last_warnings
from controlplane.provisioners.kubernetes.runs import convergence, draining, ending, inventory, repair
from controlplane.provisioners.kubernetes.settings import SiteSettings
from controlplane.provisioners.kubernetes.site import admission, check, isolation, machines

ENSURED_SECONDS = 30.0
# The time budget for naming the webhooks that make a write slow.
NAMING_SECONDS = 1.0
# The labels of a namespace are not read again for this time, so the calls of one launch read them once.
FENCED_SECONDS = 2.0

P = ParamSpec("P")
R = TypeVar("R")


def _bounded(call: Callable[P, R]) -> Callable[P, R]:
    """All API calls of one provisioner call share its time budget."""

    @wraps(call)
    def bounded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with time_budget(CALL_SECONDS - 0.3):
                return call(*args, **kwargs)
        except AdmissionSlow as slow:
            site: Any = args[0]
            with time_budget(NAMING_SECONDS):
                raise admission.named(site.accounts.client("namespaces"), slow) from None

    return bounded


class KubernetesProvisioner:
    def __init__(self, settings: SiteSettings, accounts: Accounts | None = None) -> None:
        self.settings = settings
        self.accounts: Accounts = accounts or Clients(settings)
        self.reports = draining.Reports(self.accounts)
        self._ensured: dict[UUID, tuple[object, float]] = {}
        self._fenced_at: dict[UUID, float] = {}

    def check(self) -> SiteVerdict:
        return check.check(self.settings)

    @_bounded
    def capacity(self) -> Mapping[str, Capacity]:
        return machines.capacity(self.accounts, self.settings)

    @_bounded
    def ensure_tenant(self, tenant_id: UUID, name: str, limits: Limits) -> tuple[Drift, ...]:
        """A tenant that this process ensured is not compared again for ENSURED_SECONDS, unless a call shows drift.

        The Pod Security labels of the namespace are read each time, as they alone prevent privileged pods. The
        listing compares everything else too.
        """
        wanted, now = (name, dict(limits)), time.monotonic()
        known, since = self._ensured.get(tenant_id, (None, now))
        with suppress(TenantMissing):
            if known == wanted and now - since < ENSURED_SECONDS and self._is_fenced(tenant_id):
                return ()
        found = isolation.ensure(self.accounts, self.settings, tenant_id, name, limits)
        self._ensured[tenant_id] = (wanted, now)
        self._fenced_at[tenant_id] = time.monotonic()
        return found

    def _is_fenced(self, tenant_id: UUID) -> bool:
        """Raises TenantMissing when the namespace is gone."""
        fenced = isolation.is_fenced(self.accounts.client("namespaces"), tenant_id)
        if fenced:
            self._fenced_at[tenant_id] = time.monotonic()
        return fenced

    def _require_fence(self, tenant_id: UUID) -> None:
        """Raises TenantMissing unless the namespace enforced Pod Security in the last FENCED_SECONDS."""
        if time.monotonic() - self._fenced_at.get(tenant_id, float("-inf")) < FENCED_SECONDS:
            return
        if not self._is_fenced(tenant_id):
            self._ensured.pop(tenant_id, None)
            message = f"{names.namespace(tenant_id)} is not restricted any more; it is repaired before pods are created"
            raise TenantMissing("NAMESPACE_CHANGED", message, delay=1)

    @_bounded
    def remove_tenant(self, tenant_id: UUID) -> None:
        self._ensured.pop(tenant_id, None)
        self._fenced_at.pop(tenant_id, None)
        isolation.remove(self.accounts.client("namespaces"), self.settings, tenant_id)

    @_bounded
    def apply(self, desired: Desired) -> None:
        client = self.accounts.client("provision")
        with self._explain_refusals(desired.cluster):
            self._require_fence(desired.cluster.tenant_id)
            convergence.apply(client, self.settings, desired)
            if desired.repair:
                repair.repair_run(client, self.settings, desired)

    @_bounded
    def begin_drain(self, cluster: ClusterRef, nodes: Sequence[NodeRef], seconds: int) -> None:
        with self._explain_refusals(cluster):
            draining.begin(self.accounts, cluster, nodes, seconds)

    @_bounded
    def end_run(self, cluster: ClusterRef, run: int, *, force: bool = False) -> None:
        client = self.accounts.client("provision")
        # Without its namespace, the cluster has nothing that could be ended.
        with suppress(TenantMissing), self._explain_refusals(cluster):
            ending.end_run(client, self.settings, cluster, run, force=force)

    @_bounded
    def remove(self, cluster: ClusterRef, *, force: bool = False) -> None:
        client = self.accounts.client("provision")
        with suppress(TenantMissing), self._explain_refusals(cluster):
            ending.remove(client, self.settings, cluster, force=force)

    @contextmanager
    def _explain_refusals(self, cluster: ClusterRef) -> Iterator[None]:
        """When a call is refused, read the namespace to find the cause. A refusal alone says nothing about the cluster.

        Raises TenantMissing when the namespace is gone. Creates missing role bindings, which happens when a worker dies
        after it created a namespace.
        """
        try:
            yield
        except Temporary as error:
            if error.reason not in {"SITE_FORBIDS", "NAMESPACE_GOING"}:
                raise
            self._ensured.pop(cluster.tenant_id, None)
            account, name = self.accounts.client("namespaces"), names.namespace(cluster.tenant_id)
            namespace = account.get(paths.namespaces(name))
            if namespace is None:
                raise TenantMissing("NAMESPACE_GOING", f"{name} is gone; it is created again") from error
            if is_leaving(namespace):
                raise NotYet("NAMESPACE_GOING", f"{name} is being deleted") from error
            require_ours(self.settings, namespace)
            if isolation.bind(account, self.settings, name):
                raise NotYet("SITE_FORBIDS", f"the role bindings of {name} were repaired", delay=1) from error
            raise

    @_bounded
    def look(self, cluster: ClusterRef, names: Iterable[str]) -> ClusterObservation:
        client = self.accounts.client("provision")
        try:
            with self._explain_refusals(cluster):
                found = survey(client, self.settings, cluster)
        except TenantMissing:
            return ClusterObservation(exists=False)
        stuck = ending.stuck(found, datetime.now(UTC))
        nodes = self._observe(found.pods)
        if warnings := last_warnings(client, found.pods, nodes):
            nodes = self._observe(found.pods, warnings)
        return ClusterObservation(found.exists, nodes, found.with_volume, stuck)

    def _observe(
        self, pods: Sequence[Body], warnings: Mapping[str, Reason] | None = None
    ) -> tuple[NodeObservation, ...]:
        """The observations of these pods, with their drain reports. warnings: uid -> the last warning about a pod."""
        domain, drains = self.settings.cluster_domain, self.reports.of_all(pods)
        nodes = (
            observation.node_observation(
                pod,
                drain=drain,
                domain=domain,
                warning=(warnings or {}).get(pod["metadata"]["uid"], NO_REASON),
            )
            for pod, drain in zip(pods, drains, strict=True)
        )
        return tuple(node for node in nodes if node is not None)

    @_bounded
    def load(self, cluster: ClusterRef, nodes: Sequence[NodeRef]) -> Mapping[str, Load]:
        return load.read_loads(self.accounts, cluster, nodes)

    def list_all(self) -> Iterator[FoundCluster | DriftedTenant]:
        for found in inventory.list_all(self.accounts, self.settings, self._observe):
            if isinstance(found, DriftedTenant):
                self._ensured.pop(found.tenant_id, None)
            yield found

    def events(self) -> Iterator[NodeObservation | None]:
        client = self.accounts.client("observe")
        yield from watch.events(
            client, self.settings.installation, self.reports.of, domain=self.settings.cluster_domain
        )

    @_bounded
    def logs(self, cluster: ClusterRef, node: NodeRef, *, tail_bytes: int) -> bytes:
        # The account `logs` may only read logs, so it cannot check that this pod is the given attempt.
        namespace, name = names.namespace(cluster.tenant_id), names.pod(cluster.id, node.name)
        return pod_logs.tail(self.accounts.client("logs"), namespace, name, tail_bytes=tail_bytes)

    def follow(self, cluster: ClusterRef, node: NodeRef) -> Iterator[bytes]:
        namespace, name = names.namespace(cluster.tenant_id), names.pod(cluster.id, node.name)
        yield from pod_logs.follow(self.accounts.client("logs"), namespace, name)
