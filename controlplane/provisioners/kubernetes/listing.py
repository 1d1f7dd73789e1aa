"""Everything of ours on a site: clusters by their roots, their pods and their volumes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from controlplane.provisioners.base import Temporary
from controlplane.provisioners.kubernetes import manifests, names, paths, sights
from controlplane.provisioners.kubernetes.accounts import Accounts
from controlplane.provisioners.kubernetes.client import Client
from controlplane.provisioners.kubernetes.roots import ClusterRoot
from controlplane.provisioners.kubernetes.settings import SiteSettings
from controlplane.provisioners.kubernetes.survey import by_cluster, is_leaving, label, run_of
from controlplane.provisioners.kubernetes.together import all_of

Body = dict[str, Any]
Whose = tuple[UUID, UUID]

# Longer than any call that thinks of a removed cluster can still be on its way.
MOURNING = timedelta(hours=1)


def clusters(accounts: Accounts, settings: SiteSettings) -> Iterator[tuple[Whose, list[Body], list[Body]]]:
    """((cluster, tenant), its pods, its volumes), of every cluster of which anything is left.

    Raises Temporary at the end when some namespace could not be read: it hides no other one's clusters. Of one that is
    on its way out only the pods are told.
    """
    troubles: list[Temporary] = []
    # Roots first: a cluster that comes in between is found with its pods or not at all.
    rooted = _rooted(accounts, settings, troubles)
    listed = accounts.client("observe").list(paths.pods(), labels=manifests.ours(settings)).items
    pods = by_cluster(pod for pod in listed if sights.is_in_place(pod))
    for whose in {**rooted, **pods}:
        yield whose, pods.get(whose, []), rooted.get(whose, [])
    if troubles:
        raise troubles[0]


def _rooted(accounts: Accounts, settings: SiteSettings, troubles: list[Temporary]) -> dict[Whose, list[Body]]:
    """The volumes of every cluster that has a root or volumes. These are asked for by namespace: our account sees no
    others' objects.
    """
    tenants = {**manifests.ours(settings), names.TENANT: ""}
    spaces = accounts.client("namespaces").list(paths.namespaces(), labels=tenants).items
    read = partial(_read, accounts.client("provision"), settings, troubles)
    # From one that is on its way out our accounts may be shut out already; its pods are seen all the same.
    listed = all_of([partial(read, body["metadata"]["name"]) for body in spaces if not is_leaving(body)])
    return {whose: volumes for part in listed for whose, volumes in part.items()}


def _read(
    client: Client, settings: SiteSettings, troubles: list[Temporary], place: str
) -> dict[Whose, list[Body]]:
    """Of one namespace; what should have gone from it goes."""
    ours = manifests.ours(settings)
    try:
        _bury(client, settings, place)
        roots = client.list(
            paths.config_maps(place), labels={**ours, names.COMPONENT: manifests.CLUSTER_ROOT}
        ).items
        _sweep(client, settings, place, roots)
        volumes = client.list(paths.volumes(place), labels={**ours, names.CLUSTER: ""}).items
    except Temporary as trouble:
        troubles.append(trouble)
        return {}
    return {**{whose: [] for whose in by_cluster(roots)}, **by_cluster(volumes)}


def _sweep(client: Client, settings: SiteSettings, place: str, clusters: list[Body]) -> None:
    """Remove what is left of runs that were ended: whoever ended them may have died before he was done."""
    wanted = {**manifests.ours(settings), names.COMPONENT: manifests.RUN_ROOT}
    ended = {label(body, names.CLUSTER): ClusterRoot(body, made=False).ended for body in clusters}
    for body in client.list(paths.config_maps(place), labels=wanted).items:
        if not is_leaving(body) and run_of(body) <= ended.get(label(body, names.CLUSTER), -1):
            about = body["metadata"]
            client.delete(paths.config_maps(place, about["name"]), uid=about["uid"])


def _bury(client: Client, settings: SiteSettings, place: str) -> None:
    """Remove the tombstones that have stood long enough."""
    wanted = {**manifests.ours(settings), names.COMPONENT: manifests.TOMBSTONE}
    now = datetime.now(UTC)
    for about in (body["metadata"] for body in client.list(paths.leases(place), labels=wanted).items):
        if now - datetime.fromisoformat(about["creationTimestamp"]) > MOURNING:
            client.delete(paths.leases(place, about["name"]), uid=about["uid"])
