"""The root objects that own all others: a cluster's root owns what outlives a stop, each run's root owns the rest.

An ended run stays ended, in whatever order two workers run. The worker that ends a run marks the cluster's root before
it deletes anything; the worker that applies a run looks for this mark after it has created the run's root. So either
the first finds the new root, or the second finds the mark. Kubernetes deletes what is still created below a deleted
root.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from controlplane.provisioners.base import ClusterRef, Desired, NotYet
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.errors import AlreadyExists
from controlplane.provisioners.kubernetes.objects import manifests, names, paths
from controlplane.provisioners.kubernetes.objects.body import Body, require_ours
from controlplane.provisioners.kubernetes.settings import SiteSettings


@dataclass(frozen=True, slots=True)
class ClusterRoot:
    """made: this call created it. volumes: the nodes that were given a volume; None when there is no record."""

    body: Body
    made: bool

    @property
    def ended(self) -> int:
        return _number(_annotations(self.body).get(names.ENDED_RUN))

    @property
    def volumes(self) -> frozenset[str] | None:
        said = _annotations(self.body).get(names.VOLUMES)
        return None if said is None else frozenset(said.split(",")) - {""}


@dataclass(frozen=True, slots=True)
class RunRoot:
    """used_attempts: node name -> its last attempt whose pod was deleted."""

    body: Body

    @property
    def generation(self) -> int:
        return _number(_annotations(self.body).get(names.GENERATION))

    @property
    def used_attempts(self) -> dict[str, int]:
        words = (_annotations(self.body).get(names.USED_ATTEMPTS) or "").split()
        return {name: int(attempt) for name, _, attempt in (word.rpartition("@") for word in words)}


def cluster_root(
    client: Client,
    settings: SiteSettings,
    cluster: ClusterRef,
    *,
    ended: int,
    volumes: Iterable[str] | None = None,
) -> ClusterRoot:
    """The root of the cluster. It is created with these marks when it does not exist."""
    wanted = manifests.cluster_root(settings, cluster, ended=ended, volumes=volumes)
    body, made = _found_or_made(client, settings, names.namespace(cluster.tenant_id), wanted)
    return ClusterRoot(body, made)


def find(client: Client, settings: SiteSettings, cluster: ClusterRef) -> ClusterRoot | None:
    namespace, name = names.namespace(cluster.tenant_id), names.cluster_root(cluster.id)
    body = client.get(paths.config_maps(namespace, name))
    return ClusterRoot(_checked(settings, body), made=False) if body else None


def run_root(client: Client, settings: SiteSettings, desired: Desired, owner: ClusterRoot) -> RunRoot:
    wanted = manifests.run_root(settings, desired, owner.body)
    body, _ = _found_or_made(client, settings, names.namespace(desired.cluster.tenant_id), wanted)
    return RunRoot(body)


def mark_ended(client: Client, root: ClusterRoot, cluster: ClusterRef, run: int) -> ClusterRoot:
    """Mark `run` and earlier runs as ended. Returns the root as it is then."""
    if root.ended >= run:
        return root
    return replace(root, body=annotate(client, cluster, root.body, {names.ENDED_RUN: str(run)}))


def annotate(client: Client, cluster: ClusterRef, body: Body, annotations: dict[str, str]) -> Body:
    """Set annotations of an object as it was read. Raises Temporary when it was changed meanwhile."""
    about = body["metadata"]
    patch = {"metadata": {"resourceVersion": about["resourceVersion"], "annotations": annotations}}
    answer = client.patch(paths.config_maps(names.namespace(cluster.tenant_id), about["name"]), patch)
    if answer is None:
        raise _going(about["name"])
    return answer


def joined_attempts(used_attempts: dict[str, int]) -> str:
    """The value of the annotation USED_ATTEMPTS."""
    return " ".join(f"{name}@{attempt}" for name, attempt in sorted(used_attempts.items()))


def is_removed(client: Client, cluster: ClusterRef) -> bool:
    """Whether the cluster was removed for good. Call it after a root was created, see above."""
    namespace, name = names.namespace(cluster.tenant_id), names.cluster_root(cluster.id)
    return client.get(paths.leases(namespace, name)) is not None


def is_over(client: Client, desired: Desired, root: ClusterRoot) -> bool:
    """Whether the run was ended meanwhile, or the cluster has another root. Call it after the run root was created."""
    namespace, name = names.namespace(desired.cluster.tenant_id), names.cluster_root(desired.cluster.id)
    now = client.get(paths.config_maps(namespace, name))
    if now is None or now["metadata"]["uid"] != root.body["metadata"]["uid"]:
        return True
    return ClusterRoot(now, made=False).ended >= desired.run


def withdraw(client: Client, cluster: ClusterRef, *late: ClusterRoot | RunRoot) -> None:
    """Delete roots that were created too late. Kubernetes deletes what they own."""
    namespace = names.namespace(cluster.tenant_id)
    for root in late:
        about = root.body["metadata"]
        client.delete(paths.config_maps(namespace, about["name"]), uid=about["uid"])


def _found_or_made(client: Client, settings: SiteSettings, namespace: str, wanted: Body) -> tuple[Body, bool]:
    name = wanted["metadata"]["name"]
    try:
        return client.create(paths.config_maps(namespace), wanted), True
    except AlreadyExists:
        found = client.get(paths.config_maps(namespace, name))
    if found is None:
        raise _going(name)
    return _checked(settings, found), False


def _checked(settings: SiteSettings, body: Body) -> Body:
    """The object. Raises NotOurs when another program made it, NotYet while it is being deleted."""
    require_ours(settings, body)
    if "deletionTimestamp" in body["metadata"]:
        raise _going(body["metadata"]["name"])
    return body


def _going(name: str) -> NotYet:
    return NotYet("SITE_CONFLICT", f"{name} is being deleted", delay=0.5)


def _annotations(body: Body) -> dict[str, str]:
    return body["metadata"].get("annotations") or {}


def _number(text: str | None) -> int:
    """0 when the annotation is missing or damaged."""
    return int(text) if text and text.isdecimal() else 0
