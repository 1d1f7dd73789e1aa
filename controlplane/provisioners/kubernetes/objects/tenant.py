"""What all clusters of a tenant share: a namespace, and the objects in it that isolate the tenant."""

from uuid import UUID

from controlplane.provisioners.base import Limits
from controlplane.provisioners.kubernetes.objects import egress, manifests, names, pods
from controlplane.provisioners.kubernetes.objects.body import Body
from controlplane.provisioners.kubernetes.settings import SiteSettings
from tenants.amounts import CEILINGS, Amounts

QUOTA, DEFAULTS, DENY, DNS = "slipway", "slipway", "slipway-default-deny", "slipway-dns"
GIBIBYTE = 2**30
# Slipway itself decides what a tenant may hold. A ResourceQuota notices deletes late, so it leaves room for one node.
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
    """Allows DNS: to the servers of the Kubernetes cluster, and to those that the site names in addition."""
    servers = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    ports = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    asking = {"to": [servers, *egress.named(settings.dns_cidrs)], "ports": ports}
    return _policy(_about(settings, tenant_id, DNS), {"policyTypes": ["Egress"], "egress": [asking]})


def quota(settings: SiteSettings, tenant_id: UUID, limits: Limits) -> Body:
    """limits: resource -> limit of the tenant; None: no limit."""
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
    """Defaults of containers: the quota refuses a container that has neither request nor limit."""
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


def _about(settings: SiteSettings, tenant_id: UUID, name: str) -> Body:
    return {"name": name, "labels": {**manifests.ours(settings), names.TENANT: str(tenant_id)}}


def _policy(about: Body, spec: Body) -> Body:
    """A NetworkPolicy for every pod in the namespace."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": about,
        "spec": {"podSelector": {}, **spec},
    }
