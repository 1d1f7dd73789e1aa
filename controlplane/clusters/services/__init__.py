from controlplane.clusters.services.cancel import operation_cancel
from controlplane.clusters.services.configure import cluster_configure, cluster_configure_plan
from controlplane.clusters.services.create import cluster_create, cluster_create_plan
from controlplane.clusters.services.release import cluster_release
from controlplane.clusters.services.shares import cluster_share, cluster_unshare
from controlplane.clusters.services.sites import site_put
from controlplane.clusters.services.verb_plan import cluster_verb_plan
from controlplane.clusters.services.verbs import (
    cluster_delete,
    cluster_resize,
    cluster_restart,
    cluster_start,
    cluster_stop,
)

__all__ = [
    "cluster_configure",
    "cluster_configure_plan",
    "cluster_create",
    "cluster_create_plan",
    "cluster_delete",
    "cluster_release",
    "cluster_resize",
    "cluster_restart",
    "cluster_share",
    "cluster_start",
    "cluster_stop",
    "cluster_unshare",
    "cluster_verb_plan",
    "operation_cancel",
    "site_put",
]
