"""Repairs what the nodes of a run need beside their pods."""

from functools import partial

from controlplane.provisioners.base import Desired
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.ensure import ensure_object
from controlplane.provisioners.kubernetes.client.parallel import in_parallel
from controlplane.provisioners.kubernetes.objects import manifests, names, paths
from controlplane.provisioners.kubernetes.settings import SiteSettings


def repair_run(client: Client, settings: SiteSettings, desired: Desired) -> None:
    """Repair the NetworkPolicy, Service and ServiceAccount of a run. Does nothing when the run is gone."""
    namespace = names.namespace(desired.cluster.tenant_id)
    root = client.get(paths.config_maps(namespace, names.run_root(desired.cluster.id, desired.run)))
    if root is None or "deletionTimestamp" in root["metadata"]:
        return
    bodies = {
        paths.network_policies: manifests.network_policy(settings, desired, root),
        paths.services: manifests.service(settings, desired, root),
        paths.service_accounts: manifests.service_account(settings, desired, root),
    }
    in_parallel([partial(ensure_object, client, path, namespace, body) for path, body in bodies.items()])
