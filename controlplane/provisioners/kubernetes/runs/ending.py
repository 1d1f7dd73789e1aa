"""Ending runs and removing clusters: the mark first, then the pods, then what owns the rest."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial

from controlplane.provisioners.base import ClusterRef
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.ensure import create_missing
from controlplane.provisioners.kubernetes.client.parallel import in_parallel
from controlplane.provisioners.kubernetes.objects import manifests, names, paths
from controlplane.provisioners.kubernetes.objects.body import Body, is_leaving, label, run_of
from controlplane.provisioners.kubernetes.observations.survey import Survey, survey
from controlplane.provisioners.kubernetes.runs import roots
from controlplane.provisioners.kubernetes.settings import SiteSettings

Path = Callable[[str, str], str]

# What "at once" means to a pod: with 0 its name would be free while it still runs.
FORCED_SECONDS = 1
# A kubelet that answers confirms the end of a pod sooner after its grace.
OVERDUE = timedelta(seconds=30)
# These the controllers of Kubernetes itself take away.
OF_KUBERNETES = frozenset({"kubernetes.io/pvc-protection", "foregroundDeletion", "orphan"})


def end_run(client: Client, settings: SiteSettings, cluster: ClusterRef, run: int, *, force: bool) -> None:
    root = roots.cluster_root(client, settings, cluster, ended=run)
    place = names.namespace(cluster.tenant_id)
    if root.made and roots.is_removed(client, cluster):
        roots.withdraw(client, cluster, root)
        return
    roots.mark_ended(client, root, cluster, run)
    found = survey(client, settings, cluster)
    over = [body for body in found.pods if run_of(body) <= run]
    _end_pods(client, settings, cluster, over, force=force)
    _delete(client, place, paths.config_maps, [body for body in found.run_roots if run_of(body) <= run])


def remove(client: Client, settings: SiteSettings, cluster: ClusterRef, *, force: bool) -> None:
    place = names.namespace(cluster.tenant_id)
    create_missing(client, paths.leases(place), manifests.tombstone(settings, cluster))
    found = survey(client, settings, cluster)
    _end_pods(client, settings, cluster, found.pods, force=force)
    _delete(client, place, paths.config_maps, found.run_roots)
    _delete(client, place, paths.config_maps, found.cluster_roots)
    _delete(client, place, paths.volumes, found.volumes)


def _end_pods(
    client: Client, settings: SiteSettings, cluster: ClusterRef, found: Iterable[Body], *, force: bool
) -> None:
    """All pods of a run by one call: so many calls as there are pods would take their time from others."""
    runs = {run_of(body) for body in found if force or not is_leaving(body)}
    ours = manifests.ours(settings)
    collection = paths.pods(names.namespace(cluster.tenant_id))
    in_parallel(
        [
            partial(
                client.delete_collection,
                collection,
                labels={**ours, **manifests.of_run(cluster, run)},
                grace=FORCED_SECONDS if force else None,
            )
            for run in sorted(runs)
        ]
    )


def _delete(client: Client, place: str, path: Path, bodies: Iterable[Body]) -> None:
    abouts = [body["metadata"] for body in bodies if not is_leaving(body)]
    in_parallel([partial(client.delete, path(place, about["name"]), uid=about["uid"]) for about in abouts])


def stuck(found: Survey, now: datetime) -> tuple[str, ...]:
    """What was told to go and is kept from it, with what keeps it, since when, and who can help."""
    kinds = (("", found.pods), ("the volume of ", found.volumes))
    named = [(f"{kind}{label(body, names.NODE)}", body) for kind, bodies in kinds for body in bodies]
    named += [(f"ConfigMap {body['metadata']['name']}", body) for body in found.config_maps]
    return tuple(words for name, body in named if is_leaving(body) and (words := _holds(name, body, now)))


def _holds(name: str, body: Body, now: datetime) -> str:
    about, spec = body["metadata"], body.get("spec") or {}
    # The time at which its grace was over.
    due = datetime.fromisoformat(about["deletionTimestamp"])
    since = f"{name} was to be gone by {due:%Y-%m-%d %H:%M:%S} UTC"
    if finalizers := sorted(set(about.get("finalizers") or ()) - OF_KUBERNETES):
        return f"{since} and is held by the finalizer {', '.join(finalizers)}: its owner has to remove that"
    if spec.get("nodeName") and now - due > OVERDUE:
        return (
            f"{since} and its machine {spec['nodeName']} has not confirmed that it ended: "
            "bring the machine back, or remove it from the Kubernetes"
        )
    return ""
