"""Lists the objects of one cluster."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from controlplane.provisioners.base import ClusterRef
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.parallel import in_parallel
from controlplane.provisioners.kubernetes.objects import manifests, names, paths
from controlplane.provisioners.kubernetes.objects.body import Body, is_leaving, label
from controlplane.provisioners.kubernetes.settings import SiteSettings


@dataclass(frozen=True, slots=True)
class Survey:
    """The objects of one cluster, of all its runs."""

    pods: tuple[Body, ...] = ()
    volumes: tuple[Body, ...] = ()
    config_maps: tuple[Body, ...] = ()

    @property
    def exists(self) -> bool:
        return bool(self.pods or self.volumes or self.config_maps)

    @property
    def with_volume(self) -> frozenset[str]:
        return with_volume(self.volumes)

    @property
    def run_roots(self) -> list[Body]:
        return self._roots(manifests.RUN_ROOT)

    @property
    def cluster_roots(self) -> list[Body]:
        return self._roots(manifests.CLUSTER_ROOT)

    def _roots(self, component: str) -> list[Body]:
        return [body for body in self.config_maps if label(body, names.COMPONENT) == component]


def survey(client: Client, settings: SiteSettings, cluster: ClusterRef, *, roots: bool = True) -> Survey:
    """All objects of the cluster that this installation made, not from a cache. roots: also read ConfigMaps."""
    namespace = names.namespace(cluster.tenant_id)
    wanted = {**manifests.ours(settings), **manifests.of_cluster(cluster)}
    kinds = [paths.pods(namespace), paths.volumes(namespace)]
    if roots:
        kinds.append(paths.config_maps(namespace))
    found = in_parallel([partial(client.list, path, labels=wanted) for path in kinds])
    return Survey(*(tuple(listing.items) for listing in found))


def with_volume(volumes: Iterable[Body]) -> frozenset[str]:
    """The nodes with a volume that is not being deleted."""
    return frozenset(label(body, names.NODE) for body in volumes if not is_leaving(body))
