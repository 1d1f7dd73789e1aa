"""The contract of `provisioners.base`, kept by pods.

Nothing is remembered but what was read of drains, and for some seconds that a tenant was made sure of.
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
# To find out which webhooks a slow write may wait for.
NAMING_SECONDS = 1.0
# A launch looks at the labels of its namespace once, although it is several calls.
FENCED_SECONDS = 2.0

P = ParamSpec("P")
R = TypeVar("R")


def _bounded(call: Callable[P, R]) -> Callable[P, R]:
    """All that a call asks of the API server has to fit into the time that the call may take."""

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
        """What this process has made sure of stands for ENSURED_SECONDS, unless a call shows that it does not.

        The Pod Security labels of the namespace are looked at each time: they alone keep a pod out that is not
        restricted. Everything else is compared by the listing too.
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
        """Raises TenantMissing unless the namespace was seen to be restricted within FENCED_SECONDS."""
        if time.monotonic() - self._fenced_at.get(tenant_id, float("-inf")) < FENCED_SECONDS:
            return
        if not self._is_fenced(tenant_id):
            self._ensured.pop(tenant_id, None)
            told = f"{names.namespace(tenant_id)} is not restricted any more; that is repaired before a pod is made"
            raise TenantMissing("NAMESPACE_CHANGED", told, delay=1)

    @_bounded
    def remove_tenant(self, tenant_id: UUID) -> None:
        self._ensured.pop(tenant_id, None)
        self._fenced_at.pop(tenant_id, None)
        isolation.remove(self.accounts.client("namespaces"), self.settings, tenant_id)

    @_bounded
    def apply(self, desired: Desired) -> None:
        client = self.accounts.client("provision")
        with self._shut_out(desired.cluster):
            self._require_fence(desired.cluster.tenant_id)
            convergence.apply(client, self.settings, desired)
            if desired.repair:
                repair.repair_run(client, self.settings, desired)

    @_bounded
    def begin_drain(self, cluster: ClusterRef, nodes: Sequence[NodeRef], seconds: int) -> None:
        with self._shut_out(cluster):
            draining.begin(self.accounts, cluster, nodes, seconds)

    @_bounded
    def end_run(self, cluster: ClusterRef, run: int, *, force: bool = False) -> None:
        client = self.accounts.client("provision")
        # Where the whole namespace is gone nothing has to be ended.
        with suppress(TenantMissing), self._shut_out(cluster):
            ending.end_run(client, self.settings, cluster, run, force=force)

    @_bounded
    def remove(self, cluster: ClusterRef, *, force: bool = False) -> None:
        client = self.accounts.client("provision")
        with suppress(TenantMissing), self._shut_out(cluster):
            ending.remove(client, self.settings, cluster, force=force)

    @contextmanager
    def _shut_out(self, cluster: ClusterRef) -> Iterator[None]:
        """A refusal in a tenant's namespace says nothing of the cluster: first look what has become of the namespace.

        Raises TenantMissing when it is gone, which was asked by name. Our accounts are let in again where they
        are not: who makes a namespace may die before that.
        """
        try:
            yield
        except Temporary as error:
            if error.reason not in {"SITE_FORBIDS", "NAMESPACE_GOING"}:
                raise
            self._ensured.pop(cluster.tenant_id, None)
            account, place = self.accounts.client("namespaces"), names.namespace(cluster.tenant_id)
            space = account.get(paths.namespaces(place))
            if space is None:
                raise TenantMissing("NAMESPACE_GOING", f"{place} is gone; it is made again") from error
            if is_leaving(space):
                raise NotYet("NAMESPACE_GOING", f"{place} is just being removed") from error
            require_ours(self.settings, space)
            if isolation.bind(account, self.settings, place):
                raise NotYet("SITE_FORBIDS", f"our accounts were let into {place} again", delay=1) from error
            raise

    @_bounded
    def look(self, cluster: ClusterRef, names: Iterable[str]) -> ClusterObservation:
        client = self.accounts.client("provision")
        try:
            with self._shut_out(cluster):
                found = survey(client, self.settings, cluster)
        except TenantMissing:
            return ClusterObservation(exists=False)
        held = ending.stuck(found, datetime.now(UTC))
        seen = self._observe(found.pods)
        warned = last_warnings(client, found.pods, seen)
        return ClusterObservation(
            found.exists, self._observe(found.pods, warned) if warned else seen, found.with_volume, held
        )

    def _observe(
        self, pods: Sequence[Body], warned: Mapping[str, Reason] | None = None
    ) -> tuple[NodeObservation, ...]:
        """warned: uid -> the last warning about a pod."""
        told = warned or {}
        domain, drains = self.settings.cluster_domain, self.reports.of_all(pods)
        seen = (
            observation.node_observation(
                pod, drain=drain, domain=domain, warning=told.get(pod["metadata"]["uid"], NO_REASON)
            )
            for pod, drain in zip(pods, drains, strict=True)
        )
        return tuple(sight for sight in seen if sight is not None)

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
        # Whoever may read logs may do nothing else, so not look whether this pod is that attempt either.
        place, name = names.namespace(cluster.tenant_id), names.pod(cluster.id, node.name)
        return pod_logs.tail(self.accounts.client("logs"), place, name, tail_bytes=tail_bytes)

    def follow(self, cluster: ClusterRef, node: NodeRef) -> Iterator[bytes]:
        place, name = names.namespace(cluster.tenant_id), names.pod(cluster.id, node.name)
        yield from pod_logs.follow(self.accounts.client("logs"), place, name)
