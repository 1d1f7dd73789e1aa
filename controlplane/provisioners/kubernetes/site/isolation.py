"""Isolates a tenant on a site: its namespace, network policies, quota and bindings."""

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

# Seconds until a namespace that is being deleted is read again.
GOING_SECONDS = 5.0
# How long an API server may take to apply a new binding.
BOUND_SECONDS = 2.0


def ensure(
    accounts: Accounts, settings: SiteSettings, tenant_id: UUID, name: str, limits: Limits
) -> tuple[Drift, ...]:
    """Create what is missing and repair what was changed. Returns the drift since everything was created.

    The digest on the namespace is written last: without it, some objects may never have been created.
    """
    namespace = names.namespace(tenant_id)
    account, client = accounts.client("namespaces"), accounts.client("provision")
    namespace_body = tenant.namespace(settings, tenant_id, name)
    complete, relabelled = _ensure_namespace(account, settings, namespace_body)
    rebound = bind(account, settings, namespace)
    _wait_until_bound(client, namespace, bool(rebound))
    calls: list[Callable[[], Drift | None]] = [
        partial(ensure_object, client, path, namespace, body)
        for path, body in _fence(settings, tenant_id, limits)
    ]
    if settings.shared_storage_class:
        calls.append(partial(_ensure_shared, client, namespace, tenant.shared_volume(settings, tenant_id)))
    found = [each for each in (*relabelled, *rebound, *in_parallel(calls)) if each]
    if not complete:
        record = {names.WRITTEN: digest(namespace_body)}
        account.patch(paths.namespaces(namespace), {"metadata": {"annotations": record}})
        return ()
    return tuple(found)


def is_fenced(account: Client, tenant_id: UUID) -> bool:
    """Whether the namespace still enforces Pod Security `restricted`. Raises TenantMissing."""
    namespace = names.namespace(tenant_id)
    found = account.get(paths.namespaces(namespace))
    if found is None:
        raise TenantMissing("NAMESPACE_GOING", f"{namespace} is gone; it is created again")
    return is_as_written("Namespace", found)


def _fence(settings: SiteSettings, tenant_id: UUID, limits: Limits) -> list[tuple[Path, Body]]:
    bodies: list[tuple[Path, Body]] = [
        (paths.network_policies, tenant.default_deny(settings, tenant_id)),
        (paths.network_policies, tenant.dns(settings, tenant_id)),
        (paths.limit_ranges, tenant.limit_range(settings, tenant_id)),
        (paths.quotas, tenant.quota(settings, tenant_id, limits)),
    ]
    return [(path, stamped(body)) for path, body in bodies]


def _ensure_shared(client: Client, namespace: str, body: Body) -> None:
    create_missing(client, paths.volumes(namespace), body)


def remove(client: Client, settings: SiteSettings, tenant_id: UUID) -> None:
    """Delete the namespace and everything in it. client: of the account `namespaces`.

    Returns when the namespace is gone. Raises NotYet NAMESPACE_GOING until then, with what still blocks it.
    """
    path = paths.namespaces(names.namespace(tenant_id))
    body = client.get(path)
    if body is None or not is_ours(settings, body):
        return
    if not is_leaving(body):
        client.delete(path, uid=body["metadata"]["uid"])
        body = client.get(path)
    if body is not None:
        raise NotYet("NAMESPACE_GOING", _blocked(body), delay=GOING_SECONDS)


def _blocked(namespace: Body) -> str:
    """What blocks the deletion of a namespace, in the words of the API."""
    conditions = (namespace.get("status") or {}).get("conditions") or []
    blocking = [str(each.get("message")) for each in conditions if each.get("status") == "True"]
    name = namespace["metadata"]["name"]
    return cut(f"{name} is being deleted" + (f": {' '.join(blocking)}" if blocking else ""))


def _ensure_namespace(client: Client, settings: SiteSettings, wanted: Body) -> tuple[bool, list[Drift]]:
    """(whether everything in it was created once, drift of its labels). wanted: without a digest."""
    namespace = wanted["metadata"]["name"]
    found = client.get(paths.namespaces(namespace))
    if found is None:
        # Another worker may create it first. Then this raises, and the next call finds it.
        client.create(paths.namespaces(), wanted)
        return False, []
    if is_leaving(found):
        raise NotYet("NAMESPACE_GOING", f"{namespace} is being deleted; it is created again when it is gone")
    require_ours(settings, found)
    complete = bool(recorded(found))
    if is_as_written("Namespace", found):
        return complete, []
    if patch := repair("Namespace", found, stamped(wanted) if complete else wanted):
        client.patch(paths.namespaces(namespace), patch)
    return complete, [Drift("Namespace", namespace, DriftKind.CHANGED)]


def bind(client: Client, settings: SiteSettings, namespace: str) -> list[Drift]:
    """Create or repair the role bindings. Returns their drift. client: of the account `namespaces`."""
    wanted = [
        partial(ensure_object, client, paths.role_bindings, namespace, stamped(body))
        for body in role_bindings(namespace, settings)
    ]
    return [each for each in in_parallel(wanted) if each]


def _wait_until_bound(client: Client, namespace: str, expected: bool) -> None:
    """Wait until the account may work in its new namespace, BOUND_SECONDS at most."""
    deadline = time.monotonic() + BOUND_SECONDS
    while expected:
        try:
            client.get(paths.quotas(namespace, tenant.QUOTA))
        except Temporary as error:
            if error.reason != "SITE_FORBIDS" or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
