"""Everything of ours on a site: clusters by their roots, pods and volumes, and whether what they need is as written.

One LIST per kind, whatever the number of tenants, read page by page; of each object only what is compared is kept.
Contents of Secrets are never read: how many there are is told by the quota of their namespace.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from controlplane.provisioners.base import (
    ClusterObservation,
    Drift,
    DriftedTenant,
    DriftKind,
    FoundCluster,
    NodeObservation,
    Temporary,
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
from controlplane.provisioners.kubernetes.runs.roots import ClusterRoot
from controlplane.provisioners.kubernetes.settings import SiteSettings

Whose = tuple[UUID, UUID]
# Namespace and name.
At = tuple[str, str]
Observe = Callable[[list[Body]], tuple[NodeObservation, ...]]

# Longer than any call that thinks of a removed cluster can still be on its way.
TOMBSTONE_LIFETIME = timedelta(hours=1)

# What a run needs beside its pods, under the name of its root.
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
# The volumes of a pod that hold what its run was given.
MOUNTED = frozenset({"app", "conf"})
COMPARED = {**OF_RUN, **OF_TENANT}


@dataclass(frozen=True, slots=True)
class _State:
    """One object that is compared. known: it has a record. secrets: of a quota, how many its namespace has."""

    as_written: bool
    known: bool
    secrets: int | None = None


@dataclass(slots=True)
class _Run:
    """What is seen of one run: its sights, and the names of what its pods mount."""

    sights: list[NodeObservation] = field(default_factory=list)
    drained: list[Body] = field(default_factory=list)
    assets: set[str] = field(default_factory=set)
    secrets: set[str] = field(default_factory=set)
    lives: bool = False


@dataclass(frozen=True, slots=True)
class _Pod:
    """What is kept of one pod. seen: the whole of it while the report of its drain is still to be read."""

    whose: Whose
    run: int
    seen: NodeObservation | Body | None
    lives: bool
    assets: frozenset[str]
    secrets: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Root:
    whose: Whose
    at: At
    uid: str
    run: int
    ended: int
    leaving: bool


Runs = Mapping[Whose, Mapping[int, _Run]]
States = Mapping[str, Mapping[At, _State]]


def list_all(
    accounts: Accounts, settings: SiteSettings, observe: Observe
) -> Iterator[FoundCluster | DriftedTenant]:
    """Every cluster of which anything is left, then the tenants whose fence is not as it was written.

    Raises Temporary at the end when something that should have gone could not be removed.
    """
    # Namespaces come first, because the connections of that account are verified. Roots come before pods, so that a
    # cluster that is created meanwhile is found with its pods or not at all. What pods need comes after the pods,
    # because it was created before them.
    spaces = _spaces(accounts, settings)
    roots, ended, volumes = (
        _roots(accounts, settings),
        _ended(accounts, settings),
        _volumes(accounts, settings),
    )
    runs = _runs(accounts, settings, observe)
    states = _states(accounts, settings)
    drift = partial(_drift, states=states, short=_short_of_secrets(runs, states))
    for each in {**ended, **volumes, **runs}:
        yield _found(each, runs.get(each, {}), volumes.get(each, set()), ended.get(each, -1), observe, drift)
    used = {names.namespace(tenant) for _, tenant in {**ended, **runs}}
    yield from (
        DriftedTenant(space.tenant)
        for space in spaces
        if space.place in used and _is_odd(space, states, settings)
    )
    if troubles := [
        *_delete_ended_roots(accounts, roots, ended),
        *_delete_old_tombstones(accounts, settings),
    ]:
        raise troubles[0]


# -- reading ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Space:
    place: str
    tenant: UUID
    as_written: bool


def _spaces(accounts: Accounts, settings: SiteSettings) -> list[_Space]:
    tenants = {**manifests.ours(settings), names.TENANT: ""}

    def keep(body: Body) -> _Space | None:
        try:
            tenant = UUID(label(body, names.TENANT))
        except ValueError:
            return None
        place = body["metadata"]["name"]
        if is_leaving(body) or place != names.namespace(tenant):
            return None
        return _Space(place, tenant, is_as_written("Namespace", body))

    return list(accounts.client("namespaces").gather(paths.namespaces(), labels=tenants, keep=keep))


def _roots(accounts: Accounts, settings: SiteSettings) -> list[_Root]:
    """Of runs."""
    return _config_maps(accounts, settings, manifests.RUN_ROOT)


def _ended(accounts: Accounts, settings: SiteSettings) -> dict[Whose, int]:
    """Cluster -> its last run that was ended, of each that has a root."""
    return {root.whose: root.ended for root in _config_maps(accounts, settings, manifests.CLUSTER_ROOT)}


def _root(body: Body) -> _Root | None:
    owner, about = cluster_and_tenant(body), body["metadata"]
    if owner is None or about["namespace"] != names.namespace(owner[1]):
        return None
    at, ended = (about["namespace"], about["name"]), ClusterRoot(body, made=False).ended
    return _Root(owner, at, about["uid"], run_of(body), ended, is_leaving(body))


def _config_maps(accounts: Accounts, settings: SiteSettings, component: str) -> list[_Root]:
    wanted = {**manifests.ours(settings), names.COMPONENT: component}
    return list(accounts.client("observe").gather(paths.config_maps(), labels=wanted, keep=_root, bare=True))


def _volumes(accounts: Accounts, settings: SiteSettings) -> dict[Whose, set[str]]:
    """Cluster -> the nodes with a volume that nobody has begun to remove; clusters that have others are there too."""
    wanted = {**manifests.ours(settings), names.CLUSTER: ""}

    def keep(body: Body) -> tuple[Whose, str] | None:
        owner = cluster_and_tenant(body)
        return (owner, "" if is_leaving(body) else label(body, names.NODE)) if owner else None

    found: dict[Whose, set[str]] = {}
    for owner, node in accounts.client("observe").gather(
        paths.volumes(), labels=wanted, keep=keep, bare=True
    ):
        found.setdefault(owner, set()).update({node} - {""})
    return found


def _runs(accounts: Accounts, settings: SiteSettings, observe: Observe) -> dict[Whose, dict[int, _Run]]:
    """What the pods say. The report of a drain is read once all are listed, so such a pod is kept until then."""
    found: dict[Whose, dict[int, _Run]] = {}

    def keep(body: Body) -> _Pod | None:
        owner = cluster_and_tenant(body)
        if owner is None or not observation.is_in_place(body):
            return None
        seen = body if observation.may_be_drained(body) else next(iter(observe([body])), None)
        return _Pod(owner, run_of(body), seen, not is_leaving(body), *_mounts(body))

    for pod in accounts.client("observe").gather(paths.pods(), labels=manifests.ours(settings), keep=keep):
        run = found.setdefault(pod.whose, {}).setdefault(pod.run, _Run())
        if isinstance(pod.seen, NodeObservation):
            run.sights.append(pod.seen)
        elif pod.seen:
            run.drained.append(pod.seen)
        run.lives |= pod.lives
        run.assets |= pod.assets
        run.secrets |= pod.secrets
    return found


def _mounts(pod: Body) -> tuple[frozenset[str], frozenset[str]]:
    """The ConfigMaps and the Secrets of ours that a pod mounts; what a webhook added to it is not ours."""
    volumes = [each for each in pod["spec"].get("volumes") or [] if each["name"] in MOUNTED]
    assets = (str(each["configMap"]["name"]) for each in volumes if "configMap" in each)
    return frozenset(assets), frozenset(
        str(each["secret"]["secretName"]) for each in volumes if "secret" in each
    )


def _states(accounts: Accounts, settings: SiteSettings) -> dict[str, dict[At, _State]]:
    client, ours = accounts.client("observe"), manifests.ours(settings)

    def of(kind: str, path: Callable[[], str]) -> dict[At, _State]:
        return dict(client.gather(path(), labels=ours, keep=partial(_state, kind)))

    payloads = {**ours, names.COMPONENT: manifests.PAYLOAD}

    def assets() -> dict[At, _State]:
        kept = client.gather(paths.config_maps(), labels=payloads, keep=partial(_state, ""), bare=True)
        return dict(kept)

    calls: list[Callable[[], dict[At, _State]]] = [partial(of, kind, path) for kind, path in COMPARED.items()]
    calls.append(assets)
    return dict(zip([*COMPARED, "ConfigMap"], in_parallel(calls), strict=True))


def _state(kind: str, body: Body) -> tuple[At, _State]:
    """kind "": what cannot be changed, and so is only there or not."""
    about = body["metadata"]
    used = str(((body.get("status") or {}).get("used") or {}).get("secrets"))
    as_written = not kind or is_as_written(kind, body)
    state = _State(as_written, bool(recorded(body)), int(used) if used.isdecimal() else None)
    return (about["namespace"], about["name"]), state


# -- comparing ----------------------------------------------------------------------------------------------------


def _found(
    each: Whose,
    runs: Mapping[int, _Run],
    volumes: set[str],
    ended: int,
    observe: Observe,
    drift: Callable[[Whose, int, _Run], tuple[Drift, ...]],
) -> FoundCluster:
    nodes = [sight for run in runs.values() for sight in (*run.sights, *observe(run.drained))]
    observed = ClusterObservation(True, tuple(nodes), frozenset(volumes))
    newest = max((number for number, run in runs.items() if run.lives and number > ended), default=0)
    return FoundCluster(
        each[0], each[1], observed, drift(each, newest, runs[newest]) if newest else (), newest
    )


def _drift(each: Whose, number: int, run: _Run, *, states: States, short: Iterable[str]) -> tuple[Drift, ...]:
    """What the nodes of a run need and is not as it was written. A run that an older release made has no records."""
    place, name = names.namespace(each[1]), names.run_root(each[0], number)
    there = {kind: states[kind].get((place, name)) for kind in OF_RUN}
    known = any(state.known for state in there.values() if state)
    found = [
        Drift(kind, name, DriftKind.CHANGED if state else DriftKind.DELETED)
        for kind, state in there.items()
        if state is None or (known and not state.as_written)
    ]
    lost = (name for name in sorted(run.assets) if (place, name) not in states["ConfigMap"])
    found += [Drift("ConfigMap", name, DriftKind.DELETED) for name in lost]
    if place in short:
        found += [Drift("Secret", name, DriftKind.DELETED) for name in sorted(run.secrets)]
    return tuple(found)


def _short_of_secrets(runs: Runs, states: States) -> frozenset[str]:
    """The namespaces that have fewer Secrets than their pods mount: one of those was deleted."""
    mounted = Counter(
        names.namespace(tenant)
        for (_, tenant), each in runs.items()
        for run in each.values()
        for _ in run.secrets
    )
    quotas = states["ResourceQuota"]
    return frozenset(
        place
        for place, count in mounted.items()
        if (quota := quotas.get((place, tenant.QUOTA)))
        and quota.secrets is not None
        and quota.secrets < count
    )


def _is_odd(space: _Space, states: States, settings: SiteSettings) -> bool:
    """Whether the fence of a tenant is not as it was written, or was made by a release that wrote no record."""
    wanted = [
        ("NetworkPolicy", tenant.DENY),
        ("NetworkPolicy", tenant.DNS),
        ("ResourceQuota", tenant.QUOTA),
        ("LimitRange", tenant.DEFAULTS),
        *(("RoleBinding", body["metadata"]["name"]) for body in role_bindings(space.place, settings)),
    ]
    there = (states[kind].get((space.place, name)) for kind, name in wanted)
    return not space.as_written or any(state is None or not state.as_written for state in there)


# -- clearing away ------------------------------------------------------------------------------------------------


def _delete_ended_roots(
    accounts: Accounts, roots: Iterable[_Root], ended: Mapping[Whose, int]
) -> Iterator[Temporary]:
    """Remove what is left of runs that were ended: whoever ended them may have died before he was done."""
    for root in roots:
        if not root.leaving and root.run <= ended.get(root.whose, -1):
            yield from _gone(accounts, paths.config_maps(*root.at), root.uid)


def _delete_old_tombstones(accounts: Accounts, settings: SiteSettings) -> Iterator[Temporary]:
    """Remove the tombstones that have stood long enough."""
    wanted = {**manifests.ours(settings), names.COMPONENT: manifests.TOMBSTONE}
    now = datetime.now(UTC)

    def keep(body: Body) -> tuple[str, str] | None:
        about = body["metadata"]
        if now - datetime.fromisoformat(about["creationTimestamp"]) <= TOMBSTONE_LIFETIME or is_leaving(body):
            return None
        return paths.leases(about["namespace"], about["name"]), about["uid"]

    old = accounts.client("observe").gather(paths.leases(), labels=wanted, keep=keep, bare=True)
    for path, uid in old:
        yield from _gone(accounts, path, uid)


def _gone(accounts: Accounts, path: str, uid: str) -> Iterator[Temporary]:
    """What kept it from going, if anything did: it keeps nothing else."""
    try:
        accounts.client("provision").delete(path, uid=uid)
    except Temporary as trouble:
        yield trouble
