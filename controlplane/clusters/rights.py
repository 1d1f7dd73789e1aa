"""Replaces the links to pages when a user loses the right to open them.

The links to a cluster's pages carry a secret. When a user loses the right to open them, the secret is replaced in the
same transaction, and the reconciler gives the new one to the nodes. Kernels and jobs run on. Users who keep the right
get the new link from the API and the console.
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from controlplane.clusters.models import Cluster, ClusterShare, Event
from controlplane.clusters.models.site import SiteKind
from controlplane.clusters.phases import Phase
from controlplane.work.models import Kind
from controlplane.work.wake import wake
from tenants.models import Membership, Role, User

# Clusters whose links open nothing: nothing runs, or the site has no gateway and gave out no link (see decision 15).
_CLOSED = Q(phase__in=[Phase.STOPPED, Phase.DELETED]) | Q(site__kind=SiteKind.KUBERNETES)
REPLACED = (
    "All links to its pages were replaced, because a user who could open them lost that right or ended all sessions. "
    "Open the page from here again; kernels and terminals go on. "
    "Restart its node to end what they may have left running there."
)


@dataclass(frozen=True, slots=True)
class Closing:
    """A cluster whose links are replaced. pages: the names of the services that they open."""

    cluster: Cluster
    pages: tuple[str, ...]


def opened_by(user_id: UUID, tenant_id: UUID | None = None) -> QuerySet[Cluster]:
    """The running clusters, in one tenant or in all, whose pages the user may have opened."""
    share = ClusterShare.objects.filter(content_object=OuterRef("pk"), user_id=user_id)
    found = Cluster.objects.filter(Q(owner_id=user_id) | Exists(share)).exclude(_CLOSED)
    return found.filter(tenant_id=tenant_id) if tenant_id else found


def closings(clusters: QuerySet[Cluster]) -> list[Closing]:
    """The clusters that have pages with a secret in the link."""
    found = (
        (cluster, _pages(cluster)) for cluster in clusters.select_related("tenant", "owner").order_by("id")
    )
    return [Closing(cluster, pages) for cluster, pages in found if pages]


def rehearse(change: Callable[[], object], *, username: str, tenant_id: UUID | None) -> list[Closing]:
    """The clusters whose links a change of this user's rights would replace. Changes nothing. Raises what it raises.

    tenant_id: the one tenant that the change is about; None is all.
    """
    with transaction.atomic():
        user = User.objects.filter(username=username).first() if username.isprintable() else None
        opened = closings(opened_by(user.pk, tenant_id)) if user else []
        change()
        now = Cluster.objects.in_bulk([closing.cluster.id for closing in opened])
        transaction.set_rollback(True)
    return [one for one in opened if now[one.cluster.id].link_version > one.cluster.link_version]


def links_replace(clusters: QuerySet[Cluster]) -> list[Closing]:
    """Replace the links to the pages of these clusters, in the caller's transaction."""
    # Always in the order of ids, so that two transactions do not deadlock.
    locked = clusters.order_by("id").select_for_update(of=("self",), no_key=True)
    replaced = closings(Cluster.objects.filter(id__in=[cluster.id for cluster in locked]))
    found = Cluster.objects.filter(id__in=[closing.cluster.id for closing in replaced])
    found.update(link_version=F("link_version") + 1, revision=F("revision") + 1)
    Event.objects.bulk_create(
        Event(cluster=closing.cluster, kind="LINKS_REPLACED", message=REPLACED) for closing in replaced
    )
    for closing in replaced:
        wake(Kind.CLUSTER, closing.cluster.id, tenant_id=closing.cluster.tenant_id)
    return replaced


def share_removed(cluster: Cluster) -> list[Closing]:
    """After a share of the cluster was taken back."""
    return links_replace(Cluster.objects.filter(id=cluster.id).exclude(_CLOSED))


def user_rights_lost(user_id: UUID, tenant_id: UUID | None) -> list[Closing]:
    """After a user left a tenant, got a lower role in it, or (tenant_id None) was disabled or deleted."""
    replaced = links_replace(opened_by(user_id, tenant_id).exclude(tenant__in=_still_open(user_id)))
    # A user who is no member of a tenant loses the shares in it.
    member_of = Membership.objects.filter(user_id=user_id).values("tenant_id")
    ClusterShare.objects.filter(user_id=user_id).exclude(content_object__tenant__in=member_of).delete()
    return replaced


def _still_open(user_id: UUID) -> QuerySet[Membership, UUID]:
    """The tenants in which the user may open pages now."""
    found = Membership.objects.filter(user_id=user_id, user__is_active=True).exclude(role=Role.VIEWER)
    return found.values_list("tenant_id", flat=True)


def _pages(cluster: Cluster) -> tuple[str, ...]:
    launch = cluster.launch
    roles = (launch.app.role(group.role) for group in launch.groups if group.count)
    services = (service for role in roles for service in role.services)
    return tuple(service.name for service in services if service.token in launch.app.page_secrets)
