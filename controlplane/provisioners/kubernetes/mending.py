"""Making single objects anew, or what they were written to be, and telling what had become of them.

An object that is as Slipway recorded having written it is left alone, whatever today's code would write: a new release
changes nothing that exists. Only objects that differ from their record are written again.
"""

from collections.abc import Callable
from functools import partial

from controlplane.provisioners.base import Desired, Drift, DriftKind, Permanent
from controlplane.provisioners.kubernetes import manifests, names, paths
from controlplane.provisioners.kubernetes.client import Client, create_missing
from controlplane.provisioners.kubernetes.errors import Body
from controlplane.provisioners.kubernetes.settings import SiteSettings
from controlplane.provisioners.kubernetes.together import all_of
from controlplane.provisioners.kubernetes.written import is_as_written, recorded, repair

Path = Callable[[str, str], str]


def ensure_object(client: Client, path: Path, place: str, wanted: Body) -> Drift | None:
    """Make what is missing and repair what was changed. wanted: stamped. Returns what had become of it since.

    What has no record, because a release made it that kept none, is repaired and not told.
    """
    kind, name = wanted["kind"], wanted["metadata"]["name"]
    live = client.get(path(place, name))
    if live is None:
        made = create_missing(client, path(place, ""), wanted)
        return Drift(kind, name, DriftKind.DELETED) if made else None
    as_written = is_as_written(kind, live)
    # A quota follows the limits of its tenant.
    if as_written and (kind != "ResourceQuota" or recorded(live) == recorded(wanted)):
        return None
    known = bool(recorded(live))
    _write(client, path, place, live, wanted)
    return Drift(kind, name, DriftKind.CHANGED) if known and not as_written else None


def _write(client: Client, path: Path, place: str, live: Body, wanted: Body) -> None:
    name = wanted["metadata"]["name"]
    try:
        client.patch(path(place, name), repair(wanted["kind"], live, wanted))
    except Permanent:
        # What it was changed in cannot be changed back: the role of a binding, the address of a Service.
        if wanted["kind"] not in _REPLACEABLE:
            raise
        client.delete(path(place, name), uid=live["metadata"]["uid"])
        create_missing(client, path(place, ""), wanted)


_REPLACEABLE = {"RoleBinding", "Service"}


def mend_run(client: Client, settings: SiteSettings, desired: Desired) -> None:
    """Repair what the nodes of a run need beside their pods. Does nothing when the run is no more."""
    place = names.namespace(desired.cluster.tenant_id)
    root = client.get(paths.config_maps(place, names.run_root(desired.cluster.id, desired.run)))
    if root is None or "deletionTimestamp" in root["metadata"]:
        return
    bodies = {
        paths.network_policies: manifests.network_policy(settings, desired, root),
        paths.services: manifests.service(settings, desired, root),
        paths.service_accounts: manifests.service_account(settings, desired, root),
    }
    all_of([partial(ensure_object, client, path, place, body) for path, body in bodies.items()])
