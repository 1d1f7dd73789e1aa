"""Lists everything of this installation on a site: its clusters, and drift of what their nodes need.

It makes one LIST per kind, whatever the number of tenants, page by page, and keeps of each object only what is
compared. Secrets are never read: the quota of a namespace says how many there are.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from controlplane.provisioners.base import (
    ClusterObservation,
    Drift,
    DriftedTenant,
    DriftKind,
    FoundCluster,
    NodeObservation,
)
from controlplane.provisioners.kubernetes.client.accounts import Accounts
from controlplane.provisioners.kubernetes.client.parallel import in_parallel
from controlplane.provisioners.kubernetes.objects import manifests, names, paths, tenant
from controlplane.provisioners.kubernetes.objects.bindings import role_bindings
from controlplane.provisioners.kubernetes.objects.body import (
    Body,
    cluster_and_tenant,
    is_leaving,
    label,
    run_of,
)
from controlplane.provisioners.kubernetes.objects.written import is_as_written, recorded
from controlplane.provisioners.kubernetes.observations import observation
from controlplane.provisioners.kubernetes.runs import leftovers
from controlplane.provisioners.kubernetes.runs.leftovers import Key, Owner, Root
from controlplane.provisioners.kubernetes.runs.roots import ClusterRoot
from controlplane.provisioners.kubernetes.settings import SiteSettings

Observe = Callable[[list[Body]], tuple[NodeObservation, ...]]

# What a run needs in addition to its pods. These objects have the name of its root.
OF_RUN = {
    "NetworkPolicy": paths.network_policies,
    "Service": paths.services,
    "ServiceAccount": paths.service_accounts,
}
OF_TENANT = {
    "NetworkPolicy": paths.network_policies,
    "ResourceQuota": paths.quotas,
    "LimitRange": paths.limit_ranges,
    "RoleBinding": paths.role_bindings,
}
# The volumes of a pod that mount the payload of its run.
MOUNTED = frozenset({"app", "conf"})
COMPARED = {**OF_RUN, **OF_TENANT}


@dataclass(frozen=True, slots=True)
class _Compared:
    """An object that is compared with its digest. recorded: it has one. secrets: of a quota, how many Secrets exist."""

    as_written: bool
    recorded: bool
    secrets: int | None = None


@dataclass(slots=True)
class _Run:
    """The pods of one run. drained: pods whose drain report is still to be read. assets, secrets: what pods mount."""

    nodes: list[NodeObservation] = field(default_factory=list)
    drained: list[Body] = field(default_factory=list)
    assets: set[str] = field(default_factory=set)
    secrets: set[str] = field(default_factory=set)
    lives: bool = False


@dataclass(frozen=True, slots=True)
class _Pod:
    """What is kept of one pod. node: the whole pod while its drain report is still to be read."""

    owner: Owner
    run: int
    node: NodeObservation | Body | None
    lives: bool
    assets: frozenset[str]
    secrets: frozenset[str]


Runs = Mapping[Owner, Mapping[int, _Run]]
States = Mapping[str, Mapping[Key, _Compared]]


def list_all(
    accounts: Accounts, settings: SiteSettings, observe: Observe
) -> Iterator[FoundCluster | DriftedTenant]:
    """Every cluster of which anything exists, then the tenants whose isolation has drifted.

    observe: makes observations of pods. Raises Temporary at the end when leftovers could not be deleted.
    """
    # Namespaces come first, because the connections of that account are verified. Roots come before pods, so that a
    # cluster that is created meanwhile is found with its pods or not at all. What pods need comes after the pods,
    # because it was created before them.
    namespaces = _namespaces(accounts, settings)
    roots = _config_maps(accounts, settings, manifests.RUN_ROOT)
    # Cluster -> its last run that was ended, for each cluster that has a root.
    ended = {root.owner: root.ended for root in _config_maps(accounts, settings, manifests.CLUSTER_ROOT)}
    volumes = _volumes(accounts, settings)
    runs = _runs(accounts, settings, observe)
    states = _states(accounts, settings)
    drift = partial(_drift, states=states, short=_short_of_secrets(runs, states))
    for each in {**ended, **volumes, **runs}:
        yield _found(each, runs.get(each, {}), volumes.get(each, set()), ended.get(each, -1), observe, drift)
    used = {names.namespace(tenant) for _, tenant in {**ended, **runs}}
    yield from (
        DriftedTenant(namespace.tenant)
        for namespace in namespaces
        if namespace.name in used and _has_drifted(namespace, states, settings)
    )
    if errors := [
        *leftovers.delete_ended_roots(accounts, roots, ended),
        *leftovers.delete_old_tombstones(accounts, settings),
    ]:
        raise errors[0]


# -- reading ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Namespace:
    name: str
    tenant: UUID
    as_written: bool


def _namespaces(accounts: Accounts, settings: SiteSettings) -> list[_Namespace]:
    tenants = {**manifests.ours(settings), names.TENANT: ""}

    def keep(body: Body) -> _Namespace | None:
        try:
            tenant = UUID(label(body, names.TENANT))
        except ValueError:
            return None
        name = body["metadata"]["name"]
        if is_leaving(body) or name != names.namespace(tenant):
            return None
        return _Namespace(name, tenant, is_as_written("Namespace", body))

    return list(accounts.client("namespaces").gather(paths.namespaces(), labels=tenants, keep=keep))


def _root(body: Body) -> Root | None:
    owner, about = cluster_and_tenant(body), body["metadata"]
    if owner is None or about["namespace"] != names.namespace(owner[1]):
        return None
    at, ended = (about["namespace"], about["name"]), ClusterRoot(body, made=False).ended
    return Root(owner, at, about["uid"], run_of(body), ended, is_leaving(body))


def _config_maps(accounts: Accounts, settings: SiteSettings, component: str) -> list[Root]:
    wanted = {**manifests.ours(settings), names.COMPONENT: component}
    return list(accounts.client("observe").gather(paths.config_maps(), labels=wanted, keep=_root, bare=True))


def _volumes(accounts: Accounts, settings: SiteSettings) -> dict[Owner, set[str]]:
    """Cluster -> its nodes with a volume. A volume that is being deleted counts for the cluster, not for a node."""
    wanted = {**manifests.ours(settings), names.CLUSTER: ""}

    def keep(body: Body) -> tuple[Owner, str] | None:
        owner = cluster_and_tenant(body)
        return (owner, "" if is_leaving(body) else label(body, names.NODE)) if owner else None

    found: dict[Owner, set[str]] = {}
    for owner, node in accounts.client("observe").gather(
        paths.volumes(), labels=wanted, keep=keep, bare=True
    ):
        found.setdefault(owner, set()).update({node} - {""})
    return found


def _runs(accounts: Accounts, settings: SiteSettings, observe: Observe) -> dict[Owner, dict[int, _Run]]:
    """Cluster -> run -> its pods. Drain reports are read after the listing, so drained pods are kept until then."""
    found: dict[Owner, dict[int, _Run]] = {}

    def keep(body: Body) -> _Pod | None:
        owner = cluster_and_tenant(body)
        if owner is None or not observation.is_in_place(body):
            return None
        node = body if observation.may_be_drained(body) else next(iter(observe([body])), None)
        return _Pod(owner, run_of(body), node, not is_leaving(body), *_mounts(body))

    for pod in accounts.client("observe").gather(paths.pods(), labels=manifests.ours(settings), keep=keep):
        run = found.setdefault(pod.owner, {}).setdefault(pod.run, _Run())
        if isinstance(pod.node, NodeObservation):
            run.nodes.append(pod.node)
        elif pod.node:
            run.drained.append(pod.node)
        run.lives |= pod.lives
        run.assets |= pod.assets
        run.secrets |= pod.secrets
    return found


def _mounts(pod: Body) -> tuple[frozenset[str], frozenset[str]]:
    """The ConfigMaps and the Secrets of Slipway that a pod mounts, without what a webhook added to the pod."""
    volumes = [each for each in pod["spec"].get("volumes") or [] if each["name"] in MOUNTED]
    assets = (str(each["configMap"]["name"]) for each in volumes if "configMap" in each)
    return frozenset(assets), frozenset(
        str(each["secret"]["secretName"]) for each in volumes if "secret" in each
    )


def _states(accounts: Accounts, settings: SiteSettings) -> dict[str, dict[Key, _Compared]]:
    client, ours = accounts.client("observe"), manifests.ours(settings)

    def of(kind: str, path: Callable[[], str]) -> dict[Key, _Compared]:
        return dict(client.gather(path(), labels=ours, keep=partial(_state, kind)))

    payloads = {**ours, names.COMPONENT: manifests.PAYLOAD}

    def assets() -> dict[Key, _Compared]:
        kept = client.gather(paths.config_maps(), labels=payloads, keep=partial(_state, ""), bare=True)
        return dict(kept)

    calls: list[Callable[[], dict[Key, _Compared]]] = [
        partial(of, kind, path) for kind, path in COMPARED.items()
    ]
    calls.append(assets)
    return dict(zip([*COMPARED, "ConfigMap"], in_parallel(calls), strict=True))


def _state(kind: str, body: Body) -> tuple[Key, _Compared]:
    """kind "": an immutable object, which is not compared."""
    about = body["metadata"]
    used = str(((body.get("status") or {}).get("used") or {}).get("secrets"))
    as_written = not kind or is_as_written(kind, body)
    state = _Compared(as_written, bool(recorded(body)), int(used) if used.isdecimal() else None)
    return (about["namespace"], about["name"]), state


# -- comparing ----------------------------------------------------------------------------------------------------


def _found(
    each: Owner,
    runs: Mapping[int, _Run],
    volumes: set[str],
    ended: int,
    observe: Observe,
    drift: Callable[[Owner, int, _Run], tuple[Drift, ...]],
) -> FoundCluster:
    nodes = [node for run in runs.values() for node in (*run.nodes, *observe(run.drained))]
    observed = ClusterObservation(True, tuple(nodes), frozenset(volumes))
    newest = max((number for number, run in runs.items() if run.lives and number > ended), default=0)
    return FoundCluster(
        each[0], each[1], observed, drift(each, newest, runs[newest]) if newest else (), newest
    )


def _drift(each: Owner, number: int, run: _Run, *, states: States, short: Iterable[str]) -> tuple[Drift, ...]:
    """The drift of what the nodes of a run need. Objects of a run of an older release have no digest."""
    namespace, name = names.namespace(each[1]), names.run_root(each[0], number)
    there = {kind: states[kind].get((namespace, name)) for kind in OF_RUN}
    has_digests = any(state.recorded for state in there.values() if state)
    found = [
        Drift(kind, name, DriftKind.CHANGED if state else DriftKind.DELETED)
        for kind, state in there.items()
        if state is None or (has_digests and not state.as_written)
    ]
    deleted = (name for name in sorted(run.assets) if (namespace, name) not in states["ConfigMap"])
    found += [Drift("ConfigMap", name, DriftKind.DELETED) for name in deleted]
    if namespace in short:
        found += [Drift("Secret", name, DriftKind.DELETED) for name in sorted(run.secrets)]
    return tuple(found)


def _short_of_secrets(runs: Runs, states: States) -> frozenset[str]:
    """The namespaces with fewer Secrets than their pods mount: at least one was deleted."""
    mounted = Counter(
        names.namespace(tenant)
        for (_, tenant), each in runs.items()
        for run in each.values()
        for _ in run.secrets
    )
    quotas = states["ResourceQuota"]
    return frozenset(
        namespace
        for namespace, count in mounted.items()
        if (quota := quotas.get((namespace, tenant.QUOTA)))
        and quota.secrets is not None
        and quota.secrets < count
    )


def _has_drifted(namespace: _Namespace, states: States, settings: SiteSettings) -> bool:
    """Whether the isolation of a tenant has drifted, or was written by a release without digests."""
    wanted = [
        ("NetworkPolicy", tenant.DENY),
        ("NetworkPolicy", tenant.DNS),
        ("ResourceQuota", tenant.QUOTA),
        ("LimitRange", tenant.DEFAULTS),
        *(("RoleBinding", body["metadata"]["name"]) for body in role_bindings(namespace.name, settings)),
    ]
    there = (states[kind].get((namespace.name, name)) for kind, name in wanted)
    return not namespace.as_written or any(state is None or not state.as_written for state in there)
