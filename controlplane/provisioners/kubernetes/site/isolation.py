"""What all clusters of a tenant share on a site: a namespace that nothing gets into or out of unless it is said."""

import time
from collections.abc import Callable
from functools import partial
from uuid import UUID

from controlplane.provisioners.base import Drift, DriftKind, Limits, NotYet, Temporary, TenantMissing
from controlplane.provisioners.kubernetes.client.accounts import Accounts
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.ensure import Path, create_missing, ensure_object
from controlplane.provisioners.kubernetes.client.errors import cut
from controlplane.provisioners.kubernetes.client.parallel import in_parallel
from controlplane.provisioners.kubernetes.objects import names, paths, tenant
from controlplane.provisioners.kubernetes.objects.bindings import role_bindings
from controlplane.provisioners.kubernetes.objects.body import Body, is_leaving, is_ours, require_ours
from controlplane.provisioners.kubernetes.objects.written import (
    digest,
    is_as_written,
    recorded,
    repair,
    stamped,
)
from controlplane.provisioners.kubernetes.settings import SiteSettings

# How soon a namespace that is being removed is looked at again.
GOING_SECONDS = 5.0
# A binding that was just made takes a moment until it counts.
BOUND_SECONDS = 2.0


def ensure(
    accounts: Accounts, settings: SiteSettings, tenant_id: UUID, name: str, limits: Limits
) -> tuple[Drift, ...]:
    """Make what is missing, repair what was changed; what had become of it since all of it was made.

    The record on the namespace is written last: as long as it is not there, something may never have been made.
    """
    place = names.namespace(tenant_id)
    account, client = accounts.client("namespaces"), accounts.client("provision")
    space = tenant.namespace(settings, tenant_id, name)
    complete, relabelled = _ensure_namespace(account, settings, space)
    rebound = bind(account, settings, place)
    _wait_until_bound(client, place, bool(rebound))
    calls: list[Callable[[], Drift | None]] = [
        partial(ensure_object, client, path, place, body)
        for path, body in _fence(settings, tenant_id, limits)
    ]
    if settings.shared_storage_class:
        calls.append(partial(_ensure_shared, client, place, tenant.shared_volume(settings, tenant_id)))
    found = [each for each in (*relabelled, *rebound, *in_parallel(calls)) if each]
    if not complete:
        record = {names.WRITTEN: digest(space)}
        account.patch(paths.namespaces(place), {"metadata": {"annotations": record}})
        return ()
    return tuple(found)


def is_fenced(account: Client, tenant_id: UUID) -> bool:
    """Whether the namespace still says that no pod gets in that is not restricted. Raises TenantMissing."""
    place = names.namespace(tenant_id)
    found = account.get(paths.namespaces(place))
    if found is None:
        raise TenantMissing("NAMESPACE_GOING", f"{place} is gone; it is made again")
    return is_as_written("Namespace", found)


def _fence(settings: SiteSettings, tenant_id: UUID, limits: Limits) -> list[tuple[Path, Body]]:
    bodies: list[tuple[Path, Body]] = [
        (paths.network_policies, tenant.default_deny(settings, tenant_id)),
        (paths.network_policies, tenant.dns(settings, tenant_id)),
        (paths.limit_ranges, tenant.limit_range(settings, tenant_id)),
        (paths.quotas, tenant.quota(settings, tenant_id, limits)),
    ]
    return [(path, stamped(body)) for path, body in bodies]


def _ensure_shared(client: Client, place: str, body: Body) -> None:
    create_missing(client, paths.volumes(place), body)


def remove(client: Client, settings: SiteSettings, tenant_id: UUID) -> None:
    """client: of the account for namespaces. What is in the namespace goes with it.

    Returns once the namespace is observed gone. Raises Temporary NAMESPACE_GOING until then, with what still holds it.
    """
    path = paths.namespaces(names.namespace(tenant_id))
    body = client.get(path)
    if body is None or not is_ours(settings, body):
        return
    if not is_leaving(body):
        client.delete(path, uid=body["metadata"]["uid"])
        body = client.get(path)
    if body is not None:
        raise NotYet("NAMESPACE_GOING", _held_by(body), delay=GOING_SECONDS)


def _held_by(namespace: Body) -> str:
    """What keeps a namespace that is being removed, in the words of the API."""
    told = (namespace.get("status") or {}).get("conditions") or []
    holding = [str(each.get("message")) for each in told if each.get("status") == "True"]
    name = namespace["metadata"]["name"]
    return cut(f"{name} is being removed" + (f": {' '.join(holding)}" if holding else ""))


def _ensure_namespace(client: Client, settings: SiteSettings, wanted: Body) -> tuple[bool, list[Drift]]:
    """Whether all in it was made once, and what had become of its labels since. wanted: without a record."""
    place = wanted["metadata"]["name"]
    found = client.get(paths.namespaces(place))
    if found is None:
        # Somebody else may be quicker: then the next attempt finds it.
        client.create(paths.namespaces(), wanted)
        return False, []
    if is_leaving(found):
        raise NotYet("NAMESPACE_GOING", f"{place} is being removed; it is made again once it is gone")
    require_ours(settings, found)
    complete = bool(recorded(found))
    if is_as_written("Namespace", found):
        return complete, []
    if patch := repair("Namespace", found, stamped(wanted) if complete else wanted):
        client.patch(paths.namespaces(place), patch)
    return complete, [Drift("Namespace", place, DriftKind.CHANGED)]


def bind(client: Client, settings: SiteSettings, place: str) -> list[Drift]:
    """Let our accounts into a namespace of ours; those that were not. client: of the one for namespaces."""
    wanted = [
        partial(ensure_object, client, paths.role_bindings, place, stamped(body))
        for body in role_bindings(place, settings)
    ]
    return [each for each in in_parallel(wanted) if each]


def _wait_until_bound(client: Client, place: str, expected: bool) -> None:
    """Until our account may work in its new namespace, but not for long."""
    deadline = time.monotonic() + BOUND_SECONDS
    while expected:
        try:
            client.get(paths.quotas(place, tenant.QUOTA))
        except Temporary as error:
            if error.reason != "SITE_FORBIDS" or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
