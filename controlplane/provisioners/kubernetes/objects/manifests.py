"""The objects of one cluster, except its pods. Pure: the same arguments give the same body."""

from collections.abc import Iterable, Mapping, Sequence

from controlplane.provisioners.base import ClusterRef, Desired, DesiredNode
from controlplane.provisioners.kubernetes.objects import egress, names
from controlplane.provisioners.kubernetes.objects.body import Body
from controlplane.provisioners.kubernetes.objects.written import stamped
from controlplane.provisioners.kubernetes.settings import SiteSettings
from templates.schema import App
from tenants.amounts import quantity

CLUSTER_ROOT, RUN_ROOT, PAYLOAD, VOLUME, TOMBSTONE = "cluster", "run", "payload", "volume", "tombstone"


# Labels of a namespace that enforce Pod Security `restricted`.
RESTRICTED = {
    f"pod-security.kubernetes.io/{mode}{part}": value
    for mode in ("enforce", "audit", "warn")
    for part, value in (("", "restricted"), ("-version", "latest"))
}


def ours(settings: SiteSettings) -> dict[str, str]:
    """Labels of every object that this installation creates."""
    return of_installation(settings.installation)


def of_installation(installation: str) -> dict[str, str]:
    return {names.MANAGED_BY_LABEL: names.MANAGED_BY, names.INSTALLATION: installation}


def of_cluster(cluster: ClusterRef) -> dict[str, str]:
    return {names.CLUSTER: str(cluster.id)}


def of_run(cluster: ClusterRef, run: int) -> dict[str, str]:
    return {**of_cluster(cluster), names.RUN: str(run)}


def labels(settings: SiteSettings, cluster: ClusterRef, component: str) -> dict[str, str]:
    whose = {names.TENANT: str(cluster.tenant_id), names.COMPONENT: component}
    return {**ours(settings), **whose, **of_cluster(cluster)}


def owned_by(root: Body) -> list[Body]:
    """ownerReferences to `root`, a ConfigMap: Kubernetes deletes the object after its root."""
    about = root["metadata"]
    return [{"apiVersion": "v1", "kind": "ConfigMap", "name": about["name"], "uid": about["uid"]}]


def cluster_root(
    settings: SiteSettings, cluster: ClusterRef, *, ended: int, volumes: Iterable[str] | None = None
) -> Body:
    """ended: the last run that was ended. volumes: the nodes that get a volume; None when no run is being applied."""
    annotations = {names.CLUSTER_NAME: cluster.name, names.ENDED_RUN: str(ended)}
    if volumes is not None:
        annotations[names.VOLUMES] = joined_names(volumes)
    return _config_map(
        names.cluster_root(cluster.id), labels(settings, cluster, CLUSTER_ROOT), annotations=annotations
    )


def run_root(settings: SiteSettings, desired: Desired, owner: Body) -> Body:
    cluster = desired.cluster
    return _config_map(
        names.run_root(cluster.id, desired.run),
        {**labels(settings, cluster, RUN_ROOT), names.RUN: str(desired.run)},
        annotations={names.GENERATION: str(desired.generation), names.USED_ATTEMPTS: ""},
        owners=owned_by(owner),
    )


def tombstone(settings: SiteSettings, cluster: ClusterRef) -> Body:
    """Records that a cluster was removed, so that a stale worker does not create it again.

    It is a Lease because no quota counts those.
    """
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": names.cluster_root(cluster.id),
            "labels": labels(settings, cluster, TOMBSTONE),
        },
        "spec": {},
    }


def volume(settings: SiteSettings, desired: Desired, node: DesiredNode, owner: Body) -> Body:
    spec: Body = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": quantity("storage", node.each.storage)}},
    }
    if chosen := settings.placement(desired.launch.app.name).storage_class:
        spec["storageClassName"] = chosen
    about = {
        "name": names.volume(desired.cluster.id, node.name),
        "labels": {**labels(settings, desired.cluster, VOLUME), names.NODE: node.name},
        "ownerReferences": owned_by(owner),
    }
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": about, "spec": spec}


def service_account(settings: SiteSettings, desired: Desired, owner: Body) -> Body:
    about = _of_run(settings, desired, owner)
    body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": about}
    return stamped({**body, "automountServiceAccountToken": False})


def service(settings: SiteSettings, desired: Desired, owner: Body) -> Body:
    """The headless Service that gives every node its DNS name, before it is ready: starting nodes need each other."""
    spec = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": of_run(desired.cluster, desired.run),
    }
    about = _of_run(settings, desired, owner)
    return stamped({"apiVersion": "v1", "kind": "Service", "metadata": about, "spec": spec})


def network_policy(settings: SiteSettings, desired: Desired, owner: Body) -> Body:
    """Allows traffic between the nodes of a run, from a gateway to its pages, and to what the site allows outside."""
    themselves = {"podSelector": {"matchLabels": of_run(desired.cluster, desired.run)}}
    ingress: list[Body] = [{"from": [themselves]}]
    if pages := page_ports(desired.launch.app):
        gateway = {"matchLabels": {names.GATEWAY: "true"}}
        # Both selectors in one peer: only a gateway pod in a gateway namespace matches.
        peer = {"namespaceSelector": gateway, "podSelector": gateway}
        ingress.append({"from": [peer], "ports": [{"protocol": "TCP", "port": port} for port in pages]})
    outside = egress.blocks(settings.egress)
    spec: Body = {
        **themselves,
        "policyTypes": ["Ingress", "Egress"],
        "ingress": ingress,
        "egress": [{"to": [themselves]}, *([{"to": outside}] if outside else [])],
    }
    about = _of_run(settings, desired, owner)
    return stamped(
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": about, "spec": spec}
    )


def page_ports(app: App) -> list[int]:
    """The ports of the pages that a gateway may open."""
    return sorted(
        {
            role.ports[service.port]
            for role in app.roles
            for service in role.services
            if service.scheme == "http"
        }
    )


def config_map(
    settings: SiteSettings, desired: Desired, name: str, data: Mapping[str, str], owner: Body
) -> Body:
    """An immutable ConfigMap of a run."""
    about = {**_of_run(settings, desired, owner), "name": name}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "immutable": True, "data": data}


def secret(settings: SiteSettings, desired: Desired, name: str, data: Mapping[str, str], owner: Body) -> Body:
    """An immutable Secret of a run. data: values in base 64."""
    about = {**_of_run(settings, desired, owner), "name": name}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": about,
        "immutable": True,
        "data": data,
    }


def joined_names(nodes: Iterable[str]) -> str:
    """The value of the annotation VOLUMES."""
    return ",".join(sorted(nodes))


def _of_run(settings: SiteSettings, desired: Desired, owner: Body) -> Body:
    cluster = desired.cluster
    return {
        "name": names.run_root(cluster.id, desired.run),
        "labels": {**labels(settings, cluster, PAYLOAD), names.RUN: str(desired.run)},
        "ownerReferences": owned_by(owner),
    }


def _config_map(
    name: str,
    labels: Mapping[str, str],
    *,
    annotations: Mapping[str, str],
    owners: Sequence[Body] = (),
) -> Body:
    about: Body = {"name": name, "labels": dict(labels), "annotations": dict(annotations)}
    if owners:
        about["ownerReferences"] = list(owners)
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": about}
