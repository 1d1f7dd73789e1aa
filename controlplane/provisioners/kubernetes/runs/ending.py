"""Ends runs and removes clusters: first marks the end, then deletes the pods, then the roots that own the rest."""

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

# The grace of a forced end. With 0, the name of a pod would be free while its processes still run.
FORCED_SECONDS = 1
# A kubelet that works confirms the end of a pod sooner than this after its grace.
OVERDUE = timedelta(seconds=30)
# Finalizers that controllers of Kubernetes remove.
OF_KUBERNETES = frozenset({"kubernetes.io/pvc-protection", "foregroundDeletion", "orphan"})


def end_run(client: Client, settings: SiteSettings, cluster: ClusterRef, run: int, *, force: bool) -> None:
    root = roots.cluster_root(client, settings, cluster, ended=run)
    namespace = names.namespace(cluster.tenant_id)
    if root.made and roots.is_removed(client, cluster):
        roots.withdraw(client, cluster, root)
        return
    roots.mark_ended(client, root, cluster, run)
    found = survey(client, settings, cluster)
    over = [body for body in found.pods if run_of(body) <= run]
    _end_pods(client, settings, cluster, over, force=force)
    _delete(client, namespace, paths.config_maps, [body for body in found.run_roots if run_of(body) <= run])


def remove(client: Client, settings: SiteSettings, cluster: ClusterRef, *, force: bool) -> None:
    namespace = names.namespace(cluster.tenant_id)
    create_missing(client, paths.leases(namespace), manifests.tombstone(settings, cluster))
    found = survey(client, settings, cluster)
    _end_pods(client, settings, cluster, found.pods, force=force)
    _delete(client, namespace, paths.config_maps, found.run_roots)
    _delete(client, namespace, paths.config_maps, found.cluster_roots)
    _delete(client, namespace, paths.volumes, found.volumes)


def _end_pods(
    client: Client, settings: SiteSettings, cluster: ClusterRef, found: Iterable[Body], *, force: bool
) -> None:
    """Delete all pods of each run by one call. One call for each pod would slow down other work at the site."""
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


def _delete(client: Client, namespace: str, path: Path, bodies: Iterable[Body]) -> None:
    objects = [body["metadata"] for body in bodies if not is_leaving(body)]
    in_parallel([partial(client.delete, path(namespace, each["name"]), uid=each["uid"]) for each in objects])


def stuck(found: Survey, now: datetime) -> tuple[str, ...]:
    """One sentence for each object whose deletion is stuck: since when, what blocks it and who can help."""
    kinds = (("", found.pods), ("the volume of ", found.volumes))
    named = [(f"{kind}{label(body, names.NODE)}", body) for kind, bodies in kinds for body in bodies]
    named += [(f"ConfigMap {body['metadata']['name']}", body) for body in found.config_maps]
    return tuple(words for name, body in named if is_leaving(body) and (words := _blocked(name, body, now)))


def _blocked(name: str, body: Body, now: datetime) -> str:
    """What blocks the deletion of an object, "" when nothing does."""
    metadata, spec = body["metadata"], body.get("spec") or {}
    # The time at which its grace was over.
    due = datetime.fromisoformat(metadata["deletionTimestamp"])
    since = f"{name} was to be gone by {due:%Y-%m-%d %H:%M:%S} UTC"
    if finalizers := sorted(set(metadata.get("finalizers") or ()) - OF_KUBERNETES):
        return f"{since} and is held by the finalizer {', '.join(finalizers)}: its owner has to remove that"
    if spec.get("nodeName") and now - due > OVERDUE:
        return (
            f"{since} and its machine {spec['nodeName']} has not confirmed that it ended: "
            "bring the machine back, or remove it from the Kubernetes"
        )
    return ""
