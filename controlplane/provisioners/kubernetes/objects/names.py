"""Names and labels of everything that we make on a Kubernetes site. Frozen for ever: a release that changed one
would not find what the release before it made.
"""

from uuid import UUID

PREFIX = "slipway-"
MANAGED_BY = "slipway"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
# What an object of ours is for.
COMPONENT = "app.kubernetes.io/component"

INSTALLATION = "slipway/installation"
TENANT = "slipway/tenant"
CLUSTER = "slipway/cluster"
RUN = "slipway/run"
NODE = "slipway/node"
ATTEMPT = "slipway/attempt"
GROUP = "slipway/group"
ROLE = "slipway/role"
# On the pods of a gateway, in a namespace that the site admin has labelled so: they may open pages.
GATEWAY = "slipway/gateway"

# Annotations. Of a cluster's root: the last run that was ended, and the nodes that were given a volume, which is
# absent until a run was applied. Of a run's root: attempts that were cleared away.
ENDED_RUN = "slipway/ended-run"
VOLUMES = "slipway/volumes"
SPENT = "slipway/spent-attempts"
# Of a pod: seconds that its drain may take, and what we wrote when we made it.
DRAINING = "slipway/draining"
GENERATION = "slipway/generation"
APPLIED_AT = "slipway/applied-at"
# Of what a tenant or a run needs: the digest of what we wrote. On a namespace it says besides that all was made.
WRITTEN = "slipway/written"
TENANT_NAME = "slipway/tenant-name"
CLUSTER_NAME = "slipway/cluster-name"

# The one container of a pod.
CONTAINER = "node"


def namespace(tenant_id: UUID) -> str:
    """Of one tenant; never used again for another, because no id is."""
    return f"{PREFIX}{tenant_id.hex}"


def cluster_root(cluster_id: UUID) -> str:
    """The object that owns what outlives a stop."""
    return f"c-{cluster_id.hex}"


def run_root(cluster_id: UUID, run: int) -> str:
    """The object that owns all else. Every object of the run is named after it, its headless service too."""
    return f"c-{cluster_id.hex}-r{run}"


def pod(cluster_id: UUID, node: str) -> str:
    """Without run and attempt: so the API server itself sees to it that no node is there twice."""
    return f"c-{cluster_id.hex}-{node}"


def volume(cluster_id: UUID, node: str) -> str:
    return f"c-{cluster_id.hex}-{node}"


def hostname(cluster_id: UUID, run: int, node: str, tenant_id: UUID, domain: str) -> str:
    """By which the other nodes of the cluster, and the node itself, find it."""
    return f"{node}.{run_root(cluster_id, run)}.{namespace(tenant_id)}.svc.{domain}"
