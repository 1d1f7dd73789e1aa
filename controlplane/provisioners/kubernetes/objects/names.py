"""Names, labels and annotations of the objects that Slipway creates.

They must never change: a release that changed one would not find the objects of the release before it.
"""

from uuid import UUID

PREFIX = "slipway-"
MANAGED_BY = "slipway"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
# The purpose of an object: cluster root, run root, payload, volume, …
COMPONENT = "app.kubernetes.io/component"

INSTALLATION = "slipway/installation"
TENANT = "slipway/tenant"
CLUSTER = "slipway/cluster"
RUN = "slipway/run"
NODE = "slipway/node"
ATTEMPT = "slipway/attempt"
GROUP = "slipway/group"
ROLE = "slipway/role"
# Label of gateway pods, and of their namespace. The site admin sets it; these pods may open pages of clusters.
GATEWAY = "slipway/gateway"

# Annotations of a cluster's root: the last run that was ended, and the nodes that were given a volume (absent until a
# run was applied). Annotation of a run's root: the last attempt of each node whose pod was deleted.
ENDED_RUN = "slipway/ended-run"
VOLUMES = "slipway/volumes"
USED_ATTEMPTS = "slipway/used-attempts"
# Annotations of a pod: the seconds that its drain may take, the generation and the time of its creation.
DRAINING = "slipway/draining"
GENERATION = "slipway/generation"
APPLIED_AT = "slipway/applied-at"
# Annotation of what isolates a tenant or what a run needs: the digest of the fields that Slipway wrote. On a namespace
# it also says that everything in it was created.
WRITTEN = "slipway/written"
TENANT_NAME = "slipway/tenant-name"
CLUSTER_NAME = "slipway/cluster-name"

# The one container of a pod.
CONTAINER = "node"


def namespace(tenant_id: UUID) -> str:
    """The namespace of one tenant. Ids are never used again, so names are not either."""
    return f"{PREFIX}{tenant_id.hex}"


def cluster_root(cluster_id: UUID) -> str:
    """The ConfigMap that owns what outlives a stop of the cluster, such as volumes."""
    return f"c-{cluster_id.hex}"


def run_root(cluster_id: UUID, run: int) -> str:
    """The ConfigMap that owns all other objects of a run. They are named after it, the headless Service too."""
    return f"c-{cluster_id.hex}-r{run}"


def pod(cluster_id: UUID, node: str) -> str:
    """The name has no run and no attempt, so the API server itself prevents that a node exists twice."""
    return f"c-{cluster_id.hex}-{node}"


def volume(cluster_id: UUID, node: str) -> str:
    return f"c-{cluster_id.hex}-{node}"


def hostname(cluster_id: UUID, run: int, node: str, tenant_id: UUID, domain: str) -> str:
    """The DNS name of a node, for the other nodes of its cluster and for itself."""
    return f"{node}.{run_root(cluster_id, run)}.{namespace(tenant_id)}.svc.{domain}"
