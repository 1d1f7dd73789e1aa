from django.contrib.auth.models import Permission as GrantedPermission
from django.db import transaction

from controlplane.clusters import rights
from controlplane.clusters.access import SHARE_PERMISSION, cluster_for
from controlplane.clusters.models import Cluster, ClusterShare
from tenants import audit
from tenants.access import Access, Permission, allow
from tenants.errors import Invalid, UserNotFound, no_such_member
from tenants.models import Membership, Role, User


def _member(access: Access, username: str) -> User:
    membership = (
        Membership.objects.select_related("user")
        .filter(tenant=access.tenant, user__username=username)
        .first()
    )
    if membership is None:
        raise no_such_member()
    if membership.role == Role.VIEWER:
        raise Invalid.at("", f"{username} is a viewer of this tenant; a viewer cannot use clusters.")
    return membership.user


def _own(access: Access, cluster: str, *, giving: bool) -> Cluster:
    """The cluster, if the user may change its shares. Only the owner may give one, as it opens pages; admins may
    remove one.
    """
    found = cluster_for(access, cluster)
    mine = found.owner_id == access.actor.user_id
    others: Permission = "cluster.open_any" if giving else "cluster.operate_any"
    allow(access, "cluster.operate_own" if mine else others)
    return found


@transaction.atomic
def cluster_share(*, access: Access, cluster: str, username: str) -> ClusterShare:
    """Let another member use the cluster like its owner. Idempotent. Raises NotFound, NeedsRole, Unknown, Invalid."""
    found, user = _own(access, cluster, giving=True), _member(access, username)
    permission = GrantedPermission.objects.get(codename=SHARE_PERMISSION, content_type__app_label="clusters")
    share: ClusterShare
    share, made = ClusterShare.objects.get_or_create(content_object=found, user=user, permission=permission)
    if made:
        _record(access, "cluster.share", found, username)
    return share


@transaction.atomic
def cluster_unshare(*, access: Access, cluster: str, username: str) -> None:
    """Remove a share, and replace the links to the pages. Raises NotFound, NeedsRole, Unknown NOT_SHARED."""
    found = _own(access, cluster, giving=False)
    removed, _ = ClusterShare.objects.filter(content_object=found, user__username=username).delete()
    if not removed:
        raise UserNotFound("NOT_SHARED", "The cluster is not shared with a user of this name.")
    rights.share_removed(found)
    _record(access, "cluster.unshare", found, username)


def _record(access: Access, verb: str, cluster: Cluster, username: str) -> None:
    audit.record(
        actor=access.actor,
        verb=verb,
        target=f"cluster/{cluster.name}",
        tenant=access.tenant,
        detail={"user": username},
    )
