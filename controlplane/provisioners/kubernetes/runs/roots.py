"""The objects that own all others: one of a cluster for what outlives a stop, one of each run for all else.

What was ended stays ended, in whatever order two workers act: ending marks the cluster's root before it deletes, and
making looks for that mark after it has made its own root. So either the one who ends sees the new root, or the one
who makes sees the mark; and what is still made under a root that is gone is collected by the cluster itself.
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
    """made: by this very call. volumes: the nodes that were given one; None when nobody says."""

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
    """used_attempts: the last attempt of each name that was cleared away."""

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
    """Found, or made with these marks."""
    wanted = manifests.cluster_root(settings, cluster, ended=ended, volumes=volumes)
    body, made = _found_or_made(client, settings, names.namespace(cluster.tenant_id), wanted)
    return ClusterRoot(body, made)


def find(client: Client, settings: SiteSettings, cluster: ClusterRef) -> ClusterRoot | None:
    place, name = names.namespace(cluster.tenant_id), names.cluster_root(cluster.id)
    body = client.get(paths.config_maps(place, name))
    return ClusterRoot(_checked(settings, body), made=False) if body else None


def run_root(client: Client, settings: SiteSettings, desired: Desired, owner: ClusterRoot) -> RunRoot:
    wanted = manifests.run_root(settings, desired, owner.body)
    body, _ = _found_or_made(client, settings, names.namespace(desired.cluster.tenant_id), wanted)
    return RunRoot(body)


def mark_ended(client: Client, root: ClusterRoot, cluster: ClusterRef, run: int) -> ClusterRoot:
    """The root as it is then."""
    if root.ended >= run:
        return root
    return replace(root, body=annotate(client, cluster, root.body, {names.ENDED_RUN: str(run)}))


def annotate(client: Client, cluster: ClusterRef, body: Body, annotations: dict[str, str]) -> Body:
    """Of the object as it was read: whoever was quicker is not overwritten, but read again by the next attempt."""
    about = body["metadata"]
    patch = {"metadata": {"resourceVersion": about["resourceVersion"], "annotations": annotations}}
    answer = client.patch(paths.config_maps(names.namespace(cluster.tenant_id), about["name"]), patch)
    if answer is None:
        raise _going(about["name"])
    return answer


def spelled(used_attempts: dict[str, int]) -> str:
    return " ".join(f"{name}@{attempt}" for name, attempt in sorted(used_attempts.items()))


def is_removed(client: Client, cluster: ClusterRef) -> bool:
    """Whether the cluster was removed for good. To be asked once a root has been made."""
    place, name = names.namespace(cluster.tenant_id), names.cluster_root(cluster.id)
    return client.get(paths.leases(place, name)) is not None


def is_over(client: Client, desired: Desired, root: ClusterRoot) -> bool:
    """Whether the run was ended meanwhile, or its cluster's root is another one. To be asked once it has its own."""
    place, name = names.namespace(desired.cluster.tenant_id), names.cluster_root(desired.cluster.id)
    now = client.get(paths.config_maps(place, name))
    if now is None or now["metadata"]["uid"] != root.body["metadata"]["uid"]:
        return True
    return ClusterRoot(now, made=False).ended >= desired.run


def withdraw(client: Client, cluster: ClusterRef, *late: ClusterRoot | RunRoot) -> None:
    """Remove roots that were made too late; all that they own goes with them."""
    place = names.namespace(cluster.tenant_id)
    for root in late:
        about = root.body["metadata"]
        client.delete(paths.config_maps(place, about["name"]), uid=about["uid"])


def _found_or_made(client: Client, settings: SiteSettings, place: str, wanted: Body) -> tuple[Body, bool]:
    name = wanted["metadata"]["name"]
    try:
        return client.create(paths.config_maps(place), wanted), True
    except AlreadyExists:
        found = client.get(paths.config_maps(place, name))
    if found is None:
        raise _going(name)
    return _checked(settings, found), False


def _checked(settings: SiteSettings, body: Body) -> Body:
    """Ours, and not on its way out."""
    require_ours(settings, body)
    if "deletionTimestamp" in body["metadata"]:
        raise _going(body["metadata"]["name"])
    return body


def _going(name: str) -> NotYet:
    return NotYet("SITE_CONFLICT", f"{name} is just being removed", delay=0.5)


def _annotations(body: Body) -> dict[str, str]:
    return body["metadata"].get("annotations") or {}


def _number(text: str | None) -> int:
    """0 for what is missing or was spoilt by hand."""
    return int(text) if text and text.isdecimal() else 0
