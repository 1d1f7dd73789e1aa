"""Deletes what interrupted calls left on a site: roots of ended runs, and old records of removed clusters."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from controlplane.provisioners.base import Temporary
from controlplane.provisioners.kubernetes.client.accounts import Accounts
from controlplane.provisioners.kubernetes.objects import manifests, names, paths
from controlplane.provisioners.kubernetes.objects.body import Body, is_leaving
from controlplane.provisioners.kubernetes.settings import SiteSettings

# (cluster, tenant).
Owner = tuple[UUID, UUID]
# (namespace, name).
Key = tuple[str, str]

# No call that still creates objects of a removed cluster can take this long.
TOMBSTONE_LIFETIME = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Root:
    """The root of a cluster or of a run. ended: the last run that was ended, of a cluster's root."""

    owner: Owner
    key: Key
    uid: str
    run: int
    ended: int
    leaving: bool


def delete_ended_roots(
    accounts: Accounts, roots: Iterable[Root], ended: Mapping[Owner, int]
) -> Iterator[Temporary]:
    """Delete the roots of ended runs, which remain when a worker dies. Yields the errors.

    ended: cluster -> its last run that was ended.
    """
    for root in roots:
        if not root.leaving and root.run <= ended.get(root.owner, -1):
            yield from _delete(accounts, paths.config_maps(*root.key), root.uid)


def delete_old_tombstones(accounts: Accounts, settings: SiteSettings) -> Iterator[Temporary]:
    """Delete the tombstones of clusters that were removed long ago. Yields the errors."""
    wanted = {**manifests.ours(settings), names.COMPONENT: manifests.TOMBSTONE}
    oldest = datetime.now(UTC) - TOMBSTONE_LIFETIME

    def keep(body: Body) -> tuple[str, str] | None:
        about = body["metadata"]
        if datetime.fromisoformat(about["creationTimestamp"]) >= oldest or is_leaving(body):
            return None
        return paths.leases(about["namespace"], about["name"]), about["uid"]

    old = accounts.client("observe").gather(paths.leases(), labels=wanted, keep=keep, bare=True)
    for path, uid in old:
        yield from _delete(accounts, path, uid)


def _delete(accounts: Accounts, path: str, uid: str) -> Iterator[Temporary]:
    """Yields the error, so that the other deletions go on."""
    try:
        accounts.client("provision").delete(path, uid=uid)
    except Temporary as error:
        yield error
