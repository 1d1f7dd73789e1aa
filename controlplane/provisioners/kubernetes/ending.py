"""Ending runs and removing clusters: the mark first, then the pods, then what owns the rest."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from controlplane.provisioners.base import ClusterRef
from controlplane.provisioners.kubernetes import manifests, names, paths, roots
from controlplane.provisioners.kubernetes.client import Client, create_missing
from controlplane.provisioners.kubernetes.settings import SiteSettings
from controlplane.provisioners.kubernetes.survey import is_leaving, run_of, survey
from controlplane.provisioners.kubernetes.together import all_of

Body = dict[str, Any]
Path = Callable[[str, str], str]

# What "at once" means to a pod: with 0 its name would be free while it still runs.
FORCED_SECONDS = 1


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
    all_of(
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
    all_of([partial(client.delete, path(place, about["name"]), uid=about["uid"]) for about in abouts])
