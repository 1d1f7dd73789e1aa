"""Makes single objects exist, and repairs those that were changed.

An object that is as Slipway recorded having written it is left alone, whatever today's code would write: a new release
changes nothing that exists. Only an object that differs from its own record is written again.
"""

from collections.abc import Callable

from controlplane.provisioners.base import Drift, DriftKind, Permanent
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.errors import AlreadyExists
from controlplane.provisioners.kubernetes.objects.body import Body
from controlplane.provisioners.kubernetes.objects.written import is_as_written, recorded, repair

# (namespace, name) -> path.
Path = Callable[[str, str], str]
# The API lets some of their fields be set only once: the role of a binding, the address of a Service.
_REPLACEABLE = frozenset({"RoleBinding", "Service"})


def create_missing(client: Client, path: str, body: Body) -> bool:
    """Create the object unless it exists. Returns whether this call created it."""
    try:
        client.create(path, body)
    except AlreadyExists:
        return False
    return True


def ensure_object(client: Client, path: Path, namespace: str, wanted: Body) -> Drift | None:
    """Create an object that is missing and repair one that was changed. wanted: stamped, see `written`.

    Returns what had happened to the object since Slipway wrote it. An object without a record was made by a release
    that kept none: it is repaired, and None is returned.
    """
    kind, name = wanted["kind"], wanted["metadata"]["name"]
    live = client.get(path(namespace, name))
    if live is None:
        created = create_missing(client, path(namespace, ""), wanted)
        return Drift(kind, name, DriftKind.DELETED) if created else None
    as_written = is_as_written(kind, live)
    # A quota changes with the limits of its tenant.
    if as_written and (kind != "ResourceQuota" or recorded(live) == recorded(wanted)):
        return None
    try:
        client.patch(path(namespace, name), repair(kind, live, wanted))
    except Permanent:
        if kind not in _REPLACEABLE:
            raise
        client.delete(path(namespace, name), uid=live["metadata"]["uid"])
        create_missing(client, path(namespace, ""), wanted)
    return Drift(kind, name, DriftKind.CHANGED) if recorded(live) and not as_written else None
