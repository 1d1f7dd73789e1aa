"""Which clusters a user may see and use: as a member of the tenant, as the owner, or by a share."""

from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from controlplane.clusters.models import Cluster, ClusterShare
from controlplane.clusters.phases import Phase
from tenants.access import Access, allow
from tenants.errors import NotFound
from tenants.models import Membership, Role
from tenants.names import lookup_column

SHARE_PERMISSION = "operate_cluster"


def clusters_of(access: Access) -> QuerySet[Cluster]:
    """All clusters of the tenant, with deleted ones, each with `shared_with_me`. Raises NeedsScope, NeedsRole."""
    allow(access, "cluster.read")
    share = ClusterShare.objects.filter(
        content_object=OuterRef("pk"), user_id=access.actor.user_id, permission__codename=SHARE_PERMISSION
    )
    return Cluster.objects.filter(tenant=access.tenant).annotate(shared_with_me=Exists(share))


def cluster_for(access: Access, ident: str | UUID, *, lock: bool = False) -> Cluster:
    """The cluster of this name that is not deleted, or of this id. lock: its row, for a write. Raises NotFound."""
    clusters = clusters_of(access).select_related("owner", "site", "tenant")
    if lock:
        clusters = clusters.select_for_update(of=("self",), no_key=True)
    lookup = lookup_column(ident)
    if lookup is not None and lookup[0] == "name":
        clusters = clusters.exclude(phase=Phase.DELETED)
    cluster = clusters.filter(lookup).first() if lookup else None
    if cluster is None:
        raise NotFound()
    return cluster


def is_mine(access: Access, cluster: Cluster) -> bool:
    """Whether the user owns the cluster, or it is shared with the user."""
    return cluster.owner_id == access.actor.user_id or bool(getattr(cluster, "shared_with_me", False))


def operate(access: Access, cluster: Cluster) -> None:
    """Raises NeedsRole or NeedsScope if the user may not use verbs on this cluster."""
    allow(access, "cluster.operate_own" if is_mine(access, cluster) else "cluster.operate_any")


def read_logs(access: Access, cluster: Cluster) -> None:
    """Raises NeedsRole or NeedsScope if the user may not read the logs of this cluster."""
    allow(access, "cluster.logs_own" if is_mine(access, cluster) else "cluster.logs_any")


def may_open_pages(access: Access, cluster: Cluster) -> bool:
    """Whether the user may open the pages of this cluster. Only the owner and users with a share may; no role does."""
    return is_mine(access, cluster) and opens_pages(access)


def opens_pages(access: Access) -> bool:
    """Whether the user may open the pages of clusters that are theirs. Call it after the clusters were read.

    The membership is read again here: a user who lost the right after the request began must not get the new links.
    """
    if not access.may("cluster.open_own"):
        return False
    members = Membership.objects.filter(tenant=access.tenant, user_id=access.actor.user_id)
    return members.filter(user__is_active=True).exclude(role=Role.VIEWER).exists()
