"""Which clusters somebody may see and use: by membership, by owning one, or by a share of one."""

import re
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from controlplane.clusters.models import Cluster, ClusterShare
from controlplane.clusters.phases import Phase
from tenants.access import Access, allow
from tenants.errors import NotFound
from tenants.models import Membership, Role
from tenants.names import NAME_PATTERN, parse_id

SHARE_PERMISSION = "operate_cluster"


def clusters_of(access: Access) -> QuerySet[Cluster]:
    """All clusters of the tenant, tombstones too, each with `shared_with_me`. Needs the right to see the tenant."""
    allow(access, "cluster.read")
    share = ClusterShare.objects.filter(
        content_object=OuterRef("pk"), user_id=access.actor.user_id, permission__codename=SHARE_PERMISSION
    )
    return Cluster.objects.filter(tenant=access.tenant).annotate(shared_with_me=Exists(share))


def cluster_for(access: Access, ident: str | UUID, *, lock: bool = False) -> Cluster:
    """By name, while it is not deleted, or by id at any time. Raises NotFound."""
    clusters = clusters_of(access).select_related("owner", "site", "tenant")
    if lock:
        clusters = clusters.select_for_update(of=("self",), no_key=True)
    named = _named(ident)
    cluster = clusters.filter(named).first() if named is not None else None
    if cluster is None:
        raise NotFound()
    return cluster


def _named(ident: str | UUID) -> Q | None:
    pk = ident if isinstance(ident, UUID) else parse_id(ident)
    if pk is not None:
        return Q(id=pk)
    return Q(name=ident) & ~Q(phase=Phase.DELETED) if re.fullmatch(NAME_PATTERN, str(ident)) else None


def is_mine(access: Access, cluster: Cluster) -> bool:
    """Owned by, or shared with, the asker."""
    return cluster.owner_id == access.actor.user_id or bool(getattr(cluster, "shared_with_me", False))


def operate(access: Access, cluster: Cluster) -> None:
    """For verbs: returns if the asker may use them on this cluster. Raises NeedsRole or NeedsScope."""
    allow(access, "cluster.operate_own" if is_mine(access, cluster) else "cluster.operate_any")


def read_logs(access: Access, cluster: Cluster) -> None:
    """For logs: returns if the asker may read them. Raises NeedsRole or NeedsScope."""
    allow(access, "cluster.logs_own" if is_mine(access, cluster) else "cluster.logs_any")


def may_open_pages(access: Access, cluster: Cluster) -> bool:
    """Notebook pages belong to the owner and those it is shared with; no role opens them for anybody else."""
    return is_mine(access, cluster) and opens_pages(access)


def opens_pages(access: Access) -> bool:
    """Whether the asker may open the pages of what is theirs. To be asked after the clusters were read.

    Rights are read anew: the request may have been let in before they were lost, and must not get the new links.
    """
    if not access.may("cluster.open_own"):
        return False
    members = Membership.objects.filter(tenant=access.tenant, user_id=access.actor.user_id)
    return members.filter(user__is_active=True).exclude(role=Role.VIEWER).exists()
