"""Creates and deletes the objects of one run until they are as desired. Earlier calls may have created some already."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from controlplane.provisioners.base import Desired, DesiredNode, NotYet, Permanent
from controlplane.provisioners.kubernetes.client import registry_login
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.ensure import create_missing
from controlplane.provisioners.kubernetes.client.errors import AlreadyExists
from controlplane.provisioners.kubernetes.client.parallel import in_parallel
from controlplane.provisioners.kubernetes.objects import manifests, names, paths, pods
from controlplane.provisioners.kubernetes.objects.body import (
    Body,
    attempt_of,
    is_leaving,
    label,
    require_ours,
    run_of,
)
from controlplane.provisioners.kubernetes.objects.payload import Payload
from controlplane.provisioners.kubernetes.objects.registry_secret import RunLogin
from controlplane.provisioners.kubernetes.observations.survey import Survey, survey
from controlplane.provisioners.kubernetes.runs import roots
from controlplane.provisioners.kubernetes.runs.roots import ClusterRoot, RunRoot
from controlplane.provisioners.kubernetes.settings import SiteSettings
from controlplane.provisioners.node_environment import Rendered

Call = Callable[[], object]


def apply(client: Client, settings: SiteSettings, desired: Desired) -> None:
    """Raises Temporary when something could not be created now, after everything else was created."""
    given = pods.all_rendered(settings, desired)
    mounted, login = Payload.of(desired, given.values()), RunLogin.of(desired, registry_login.read(settings))
    root = _root(client, settings, desired)
    if root.ended >= desired.run:
        # No error here and below: a worker that applies an ended run has lost its lease and cannot record a result.
        # A worker that still has its lease observes the cluster again in some seconds. An error would stop its clock.
        return
    root = roots.mark_ended(client, root, desired.cluster, desired.run - 1)
    found = Survey() if root.made else survey(client, settings, desired.cluster, roots=False)
    _check_data(desired, root, found)
    run = roots.run_root(client, settings, desired, root)
    if run.generation > desired.generation:
        # A newer generation was applied already.
        return
    work = _Apply(client, settings, desired, given, mounted, root, run, found, login)
    if late := work.create_needs():
        roots.withdraw(client, desired.cluster, *late)
    else:
        work.update_pods()


def _root(client: Client, settings: SiteSettings, desired: Desired) -> ClusterRoot:
    """The cluster's root. It must exist when nodes have data: only the root records which volumes the cluster had."""
    cluster = desired.cluster
    if _with_volume(desired.with_data):
        found = roots.find(client, settings, cluster)
        if found is None:
            raise _lost("everything that belonged to this cluster is gone")
        return found
    volumes = [node.name for node in _with_volume(desired.nodes)]
    return roots.cluster_root(client, settings, cluster, ended=desired.run - 1, volumes=volumes)


def _check_data(desired: Desired, root: ClusterRoot, found: Survey) -> None:
    """Raises Permanent STORAGE_LOST."""
    wanted = _with_volume(desired.with_data)
    if wanted and root.volumes is None:
        raise _lost("the record of this cluster's volumes is gone")
    sound = {
        label(body, names.NODE)
        for body in found.volumes
        if not is_leaving(body) and (body.get("status") or {}).get("phase") != "Lost"
    }
    missing = [node.name for node in wanted if node.name in (root.volumes or ()) and node.name not in sound]
    if missing:
        raise _lost(f"the volume with the notebooks and data of {', '.join(missing)} is gone")


def _lost(why: str) -> Permanent:
    return Permanent("STORAGE_LOST", why)


def _with_volume(nodes: Iterable[DesiredNode]) -> list[DesiredNode]:
    return [node for node in nodes if node.each.storage]


@dataclass(frozen=True, slots=True)
class _Apply:
    """One call of `apply`. found: the objects of the cluster at its start."""

    client: Client
    settings: SiteSettings
    desired: Desired
    given: Mapping[str, Rendered]
    mounted: Payload
    root: ClusterRoot
    run: RunRoot
    found: Survey
    login: RunLogin | None

    @property
    def namespace(self) -> str:
        return names.namespace(self.desired.cluster.tenant_id)

    def create_needs(self) -> list[ClusterRoot | RunRoot]:
        """Create all that pods need. Returns the roots to delete again, when the run was ended or removed meanwhile."""
        checks: list[Call] = [
            partial(roots.is_removed, self.client, self.desired.cluster),
            partial(roots.is_over, self.client, self.desired, self.root),
        ]
        removed, over, *_ = in_parallel([*checks, *self._needs()])
        if removed:
            return [self.run, self.root]
        return [self.run] if over else []

    def update_pods(self) -> None:
        """Create missing pods, and delete pods and volumes that are not desired any more.

        A pod waits for a later call while the former volume of its node is being deleted. The deadline's clock runs
        meanwhile, because such a volume may hang for ever.
        """
        unlisted = self._unlisted()
        self._record_attempts(unlisted)
        self._record_volumes()
        # Volumes before their pods: while the pod exists, the reconciler calls again when this call was cut off.
        # Kubernetes deletes a volume in use when its pod is gone.
        in_parallel(self._surplus_volumes())
        ends: list[Call] = [
            partial(self.client.delete, paths.pods(self.namespace, about["name"]), uid=about["uid"])
            for about in (body["metadata"] for body in unlisted if not is_leaving(body))
        ]
        leaving = self._leaving_volumes()
        creates: list[Call] = [
            partial(self._create_pod, node) for node in self._missing_nodes() if node.name not in leaving
        ]
        in_parallel([*ends, *creates])

    def _needs(self) -> list[Call]:
        settings, desired, owner = self.settings, self.desired, self.run.body
        mounted = self.mounted
        secret = manifests.secret(settings, desired, mounted.secret_name, mounted.secrets, owner)
        assets = manifests.config_map(settings, desired, mounted.assets_name, mounted.assets, owner)
        bodies = [
            (paths.service_accounts, manifests.service_account(settings, desired, owner)),
            (paths.services, manifests.service(settings, desired, owner)),
            (paths.network_policies, manifests.network_policy(settings, desired, owner)),
            (paths.config_maps, assets),
            (paths.secrets, secret),
        ]
        if self.login:
            bodies.append((paths.secrets, self.login.secret(settings, desired, owner)))
        there = {label(body, names.NODE) for body in self.found.volumes}
        volumes = [
            partial(self._create_volume, node)
            for node in _with_volume(desired.nodes)
            if node.name not in there
        ]
        return [
            *(partial(create_missing, self.client, path(self.namespace), body) for path, body in bodies),
            *volumes,
        ]

    def _create_volume(self, node: DesiredNode) -> None:
        """Raises NotYet while the former volume is being deleted, NotOurs when another program made it."""
        body = manifests.volume(self.settings, self.desired, node, self.root.body)
        path, name = paths.volumes(self.namespace), body["metadata"]["name"]
        try:
            self.client.create(path, body)
        except AlreadyExists:
            # Listed, because the account may not read a volume by name.
            named = (found for found in self.client.list(path).items if found["metadata"]["name"] == name)
            found = next(named, None)
            if found is None or self._is_leaving(found):
                raise NotYet(
                    "VOLUME_GOING", f"the former volume of {node.name} is being deleted", delay=1
                ) from None
            require_ours(self.settings, found)

    def _leaving_volumes(self) -> set[str]:
        """The nodes whose former volume is still being deleted."""
        leaving = {label(body, names.NODE) for body in self.found.volumes if self._is_leaving(body)}
        return leaving & {node.name for node in _with_volume(self.desired.nodes)}

    def _is_leaving(self, volume: Body) -> bool:
        """Whether it is being deleted, or will be because its root is gone."""
        owners = {owner["uid"] for owner in volume["metadata"].get("ownerReferences") or []}
        return is_leaving(volume) or bool(owners and self.root.body["metadata"]["uid"] not in owners)

    def _missing_nodes(self) -> list[DesiredNode]:
        """The nodes to create. A node that has a pod is left out, also when the pod is of an older attempt."""
        taken = {label(body, names.NODE) for body in self.found.pods}
        used_attempts = self.run.used_attempts
        return [
            node
            for node in self.desired.nodes
            if node.name not in taken and used_attempts.get(node.name, 0) < node.attempt
        ]

    def _create_pod(self, node: DesiredNode) -> None:
        given, now = self.given[node.name], datetime.now(UTC)
        login = self.login.name if self.login else ""
        body = pods.pod(self.settings, self.desired, node, given, self.mounted, self.run.body, now, login)
        create_missing(self.client, paths.pods(self.namespace), body)

    def _unlisted(self) -> list[Body]:
        wanted = {(node.name, node.attempt) for node in self.desired.nodes}
        ours = (body for body in self.found.pods if run_of(body) == self.desired.run)
        return [body for body in ours if attempt_of(body) not in wanted]

    def _record_attempts(self, unlisted: list[Body]) -> None:
        """Record the attempts of pods before they are deleted, or a stale worker would create them again."""
        used_attempts = dict(self.run.used_attempts)
        for name, attempt in map(attempt_of, unlisted):
            used_attempts[name] = max(attempt, used_attempts.get(name, 0))
        generation = self.desired.generation
        if used_attempts != self.run.used_attempts or generation != self.run.generation:
            noted = {
                names.USED_ATTEMPTS: roots.joined_attempts(used_attempts),
                names.GENERATION: str(generation),
            }
            roots.annotate(self.client, self.desired.cluster, self.run.body, noted)

    def _record_volumes(self) -> None:
        """Record volumes before their nodes can be ready, so that a volume that is missing later counts as lost."""
        had = {name for name in self.root.volumes or () if self.desired.is_kept(name)}
        made = {node.name for node in _with_volume(self.desired.nodes)} - self._leaving_volumes()
        volumes = frozenset(had | made)
        if volumes != self.root.volumes:
            noted = {names.VOLUMES: manifests.joined_names(volumes)}
            roots.annotate(self.client, self.desired.cluster, self.root.body, noted)

    def _surplus_volumes(self) -> list[Call]:
        """Deletes the volumes of nodes that were removed: their storage is not claimed any more."""
        return [
            partial(
                self.client.delete,
                paths.volumes(self.namespace, body["metadata"]["name"]),
                uid=body["metadata"]["uid"],
            )
            for body in self.found.volumes
            if not is_leaving(body) and not self.desired.is_kept(label(body, names.NODE))
        ]
