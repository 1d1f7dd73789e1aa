"""What all clusters of a tenant share on a site: a namespace that nothing gets into or out of unless it is said."""

import time
from functools import partial
from typing import Any
from uuid import UUID

from controlplane.provisioners.base import Limits, NotYet, Temporary
from controlplane.provisioners.kubernetes import egress, manifests, names, paths, pods, roots
from controlplane.provisioners.kubernetes.accounts import Accounts
from controlplane.provisioners.kubernetes.client import Client, create_missing
from controlplane.provisioners.kubernetes.errors import cut
from controlplane.provisioners.kubernetes.permissions import bindings
from controlplane.provisioners.kubernetes.settings import SiteSettings
from controlplane.provisioners.kubernetes.survey import is_leaving
from controlplane.provisioners.kubernetes.together import all_of
from tenants.amounts import CEILINGS, Amounts, parse_bytes, parse_cpu

Body = dict[str, Any]

QUOTA, DEFAULTS, DENY, DNS = "slipway", "slipway", "slipway-default-deny", "slipway-dns"
GIBIBYTE = 2**30
# The ledger decides what a tenant may hold; the site's own quota follows deletes late, so it leaves room for one node.
HEADROOM = Amounts(cpu=4000, memory=16 * GIBIBYTE, gpu=1, storage=100 * GIBIBYTE)
COUNTS = {
    "pods": "5000",
    "configmaps": "10000",
    "secrets": "10000",
    "services": "5000",
    "persistentvolumeclaims": "10000",
    "services.nodeports": "0",
    "services.loadbalancers": "0",
}
# How soon a namespace that is being removed is looked at again.
GOING_SECONDS = 5.0
# A binding that was just made takes a moment until it counts.
BOUND_SECONDS = 2.0


def ensure(accounts: Accounts, settings: SiteSettings, tenant_id: UUID, name: str, limits: Limits) -> None:
    place = names.namespace(tenant_id)
    made = _ensure_namespace(accounts.client("namespaces"), settings, tenant_id, name)
    _wait_until_bound(accounts.client("provision"), place, made and bool(bindings(place, settings)))
    client = accounts.client("provision")
    wanted = {paths.network_policies: [default_deny(settings, tenant_id), dns(settings, tenant_id)]}
    wanted[paths.limit_ranges] = [limit_range(settings, tenant_id)]
    if settings.shared_storage_class:
        wanted[paths.volumes] = [shared_volume(settings, tenant_id)]
    calls = [
        partial(create_missing, client, path(place), body)
        for path, bodies in wanted.items()
        for body in bodies
    ]
    all_of([*calls, partial(_ensure_quota, client, settings, tenant_id, limits)])


def remove(client: Client, settings: SiteSettings, tenant_id: UUID) -> None:
    """client: of the account for namespaces. What is in the namespace goes with it.

    Returns once the namespace is observed gone. Raises Temporary NAMESPACE_GOING until then, with what still holds it.
    """
    path = paths.namespaces(names.namespace(tenant_id))
    body = client.get(path)
    if body is None or not roots.is_ours(settings, body):
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


def namespace(settings: SiteSettings, tenant_id: UUID, name: str) -> Body:
    about = {
        **_about(settings, tenant_id, names.namespace(tenant_id)),
        "annotations": {names.TENANT_NAME: name},
    }
    about["labels"] = {**about["labels"], **manifests.RESTRICTED}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": about}


def default_deny(settings: SiteSettings, tenant_id: UUID) -> Body:
    return _policy(_about(settings, tenant_id, DENY), {"policyTypes": ["Ingress", "Egress"]})


def dns(settings: SiteSettings, tenant_id: UUID) -> Body:
    """Names may be asked for: of the cluster's own servers, and of those that the site names besides."""
    servers = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    ports = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    asking = {"to": [servers, *egress.named(settings.dns_cidrs)], "ports": ports}
    return _policy(_about(settings, tenant_id, DNS), {"policyTypes": ["Egress"], "egress": [asking]})


def quota(settings: SiteSettings, tenant_id: UUID, limits: Limits) -> Body:
    hard = dict(COUNTS)
    named = {
        "cpu": ("requests.cpu", "m"),
        "memory": ("requests.memory", ""),
        "gpu": (f"requests.{pods.GPU}", ""),
        "storage": ("requests.storage", ""),
    }
    for resource, (spelled, unit) in named.items():
        limit = limits.get(resource)
        if limit is not None:
            hard[spelled] = f"{min(limit + HEADROOM[resource], CEILINGS[resource])}{unit}"
    if "requests.memory" in hard:
        hard["limits.memory"] = hard["requests.memory"]
    about = _about(settings, tenant_id, QUOTA)
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": about, "spec": {"hard": hard}}


def limit_range(settings: SiteSettings, tenant_id: UUID) -> Body:
    """What a container gets that says nothing: a quota refuses one that has neither request nor limit."""
    item = {
        "type": "Container",
        "default": {"cpu": "1", "memory": "512Mi", "ephemeral-storage": "1Gi"},
        "defaultRequest": {"cpu": "100m", "memory": "512Mi", "ephemeral-storage": "256Mi"},
    }
    about = _about(settings, tenant_id, DEFAULTS)
    return {"apiVersion": "v1", "kind": "LimitRange", "metadata": about, "spec": {"limits": [item]}}


def shared_volume(settings: SiteSettings, tenant_id: UUID) -> Body:
    spec = {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": settings.shared_storage_class,
        "resources": {"requests": {"storage": settings.shared_storage_size}},
    }
    about = _about(settings, tenant_id, pods.SHARED_VOLUME)
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": about, "spec": spec}


def _ensure_namespace(client: Client, settings: SiteSettings, tenant_id: UUID, name: str) -> bool:
    """Whether it, or what lets our accounts in, was made by this call."""
    place = names.namespace(tenant_id)
    found = client.get(paths.namespaces(place))
    if found is None:
        # Somebody else may be quicker: then the next attempt finds it.
        client.create(paths.namespaces(), namespace(settings, tenant_id, name))
    elif is_leaving(found):
        raise NotYet("NAMESPACE_GOING", f"{place} is being removed; it is made again once it is gone")
    else:
        roots.check_ours(settings, found)
    return bind(client, settings, place)


def bind(client: Client, settings: SiteSettings, place: str) -> bool:
    """Let our accounts into a namespace of ours; whether one of them was not. client: of the one for namespaces."""
    wanted = [
        partial(create_missing, client, paths.role_bindings(place), body)
        for body in bindings(place, settings)
    ]
    return any(all_of(wanted))


def _ensure_quota(client: Client, settings: SiteSettings, tenant_id: UUID, limits: Limits) -> bool:
    """Rewritten when the tenant may hold something else by now."""
    place = names.namespace(tenant_id)
    wanted = quota(settings, tenant_id, limits)
    found = client.get(paths.quotas(place, QUOTA))
    if found is None:
        return create_missing(client, paths.quotas(place), wanted)
    hard, had = wanted["spec"]["hard"], found["spec"].get("hard") or {}
    changed = {key: value for key, value in hard.items() if not _is_same(key, value, had.get(key))}
    changed |= dict.fromkeys(set(had) - set(hard))
    if changed:
        client.patch(paths.quotas(place, QUOTA), {"spec": {"hard": changed}})
    return bool(changed)


def _is_same(key: str, wanted: str, found: str | None) -> bool:
    """The API spells amounts in its own way: 5000 is 5k."""
    parse = parse_cpu if key.endswith(".cpu") else parse_bytes
    return found is not None and parse(found) == parse(wanted)


def _wait_until_bound(client: Client, place: str, expected: bool) -> None:
    """Until our account may work in its new namespace, but not for long."""
    deadline = time.monotonic() + BOUND_SECONDS
    while expected:
        try:
            client.get(paths.quotas(place, QUOTA))
        except Temporary as error:
            if error.reason != "SITE_FORBIDS" or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _about(settings: SiteSettings, tenant_id: UUID, name: str) -> Body:
    return {"name": name, "labels": {**manifests.ours(settings), names.TENANT: str(tenant_id)}}


def _policy(about: Body, spec: Body) -> Body:
    """Of every pod in the namespace."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": about,
        "spec": {"podSelector": {}, **spec},
    }
