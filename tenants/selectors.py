"""Reading tenants, members, limits, claims, users, tokens and the audit. Query sets have a stable order for paging."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from tenants.access import known_tenants, require_site_admin
from tenants.actors import Actor
from tenants.errors import NotFound, no_such_member
from tenants.models import ApiToken, AuditEvent, Claim, Limit, Membership, Role, Tenant, TenantState, User
from tenants.quota import limit_json, limit_rows

if TYPE_CHECKING:
    from tenants.access import KnownTenant

MOST_HOLDERS: Final = 500


@dataclass(frozen=True, slots=True)
class TenantUsage:
    """What a tenant may hold and holds.

    limits: as quota.limit_json. holders: [{"owner", "cluster", "cluster_id", "site", "holds"}], at most MOST_HOLDERS.
    """

    limits: list[dict[str, Any]]
    holders: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Belonging:
    """A user's membership in a tenant. is_last_admin: the tenant has no other admin."""

    tenant: Tenant
    role: Role
    is_last_admin: bool


def tenants_of(actor: Actor) -> "QuerySet[KnownTenant]":
    """The tenants that the actor may see, by name, each with `asker_role` as in `known_tenants`."""
    return known_tenants(actor).order_by("name", "id")


def roles_of(actor: Actor) -> list[dict[str, str]]:
    """[{"name": tenant, "role": role}] of the actor's memberships, by name."""
    memberships = Membership.objects.filter(user_id=actor.user_id).exclude(tenant__state=TenantState.DELETED)
    if actor.tenant_id is not None:
        memberships = memberships.filter(tenant_id=actor.tenant_id)
    rows = memberships.order_by("tenant__name").values_list("tenant__name", "role")
    return [{"name": name, "role": role} for name, role in rows]


def members(tenant: Tenant) -> QuerySet[Membership]:
    return Membership.objects.filter(tenant=tenant).select_related("user").order_by("user__username", "id")


def member(tenant: Tenant, username: str) -> Membership:
    """The membership of the user. Raises NO_SUCH_MEMBER."""
    found = members(tenant).filter(user__username=username).first() if username.isprintable() else None
    if found is None:
        raise no_such_member()
    return found


def is_member(tenant_id: UUID, user_id: UUID, role: Role | None = None) -> bool:
    """Whether the user is a member now, in exactly `role` if given."""
    found = Membership.objects.filter(tenant_id=tenant_id, user_id=user_id)
    return (found if role is None else found.filter(role=role)).exists()


def limits(tenant: Tenant) -> QuerySet[Limit]:
    """The tenant's row first, then those of members and of former members who still hold something."""
    held = Q(held_cpu__gt=0) | Q(held_memory__gt=0) | Q(held_gpu__gt=0)
    held |= Q(held_storage__gt=0) | Q(held_clusters__gt=0)
    shown = Q(user=None) | Q(user__memberships__tenant=tenant) | held
    rows = Limit.objects.filter(shown, tenant=tenant).select_related("user").distinct()
    return rows.order_by(F("user__username").asc(nulls_first=True), "id")


def holders(tenant: Tenant) -> QuerySet[Claim]:
    """Claims by label, each with its user."""
    return Claim.objects.filter(tenant=tenant).select_related("user").order_by("label", "owner_id")


def usage(tenant: Tenant, user_id: UUID | None = None) -> TenantUsage:
    """The limits of the tenant, and of `user_id` in it, with the clusters that hold them. Two or three queries."""
    rows = limit_rows(tenant_id=tenant.pk, user_id=user_id)
    return TenantUsage(
        limits=[level for row in rows for level in limit_json(row)],
        holders=[
            {
                "owner": claim.user.username,
                "cluster": claim.label,
                "cluster_id": str(claim.owner_id),
                "site": claim.site,
                "holds": claim.amounts.to_json(),
            }
            for claim in holders(tenant)[:MOST_HOLDERS]
        ],
    )


def users(actor: Actor) -> QuerySet[User]:
    """All users who are not deleted, by name. For site admins."""
    require_site_admin(actor, "users:read")
    return User.objects.filter(deleted_at=None).order_by("username")


def user(actor: Actor, username: str) -> User:
    """The user of this name. For site admins. Raises NotFound."""
    found = users(actor).filter(username=username).first() if username.isprintable() else None
    if found is None:
        raise NotFound
    return found


def belongings_of(user: User) -> list[Belonging]:
    """The user's memberships, by the name of the tenant."""
    others = Membership.objects.filter(tenant=OuterRef("tenant"), role=Role.ADMIN).exclude(user=user)
    found = Membership.objects.filter(user=user).exclude(tenant__state=TenantState.DELETED)
    rows = found.annotate(is_shared=Exists(others)).select_related("tenant").order_by("tenant__name")
    return [
        Belonging(row.tenant, Role(row.role), row.role == Role.ADMIN and not row.is_shared) for row in rows
    ]


def held_by(user: User) -> QuerySet[Claim]:
    """The claims of the user in all tenants. They stay when the account is deleted."""
    return Claim.objects.filter(user=user).select_related("tenant").order_by("tenant__name", "label")


def tokens_of(actor: Actor) -> QuerySet[ApiToken]:
    """The actor's own tokens, oldest first. A token that is bound to a tenant sees only those bound to it."""
    tokens = ApiToken.objects.filter(user_id=actor.user_id).select_related("tenant")
    if actor.tenant_id is not None:
        tokens = tokens.filter(tenant_id=actor.tenant_id)
    return tokens.order_by("id")


def token(actor: Actor, token_id: UUID) -> ApiToken:
    """The actor's own token with this id. Raises NotFound."""
    found = tokens_of(actor).filter(id=token_id).first()
    if found is None:
        raise NotFound
    return found


def audit_events(tenant: Tenant) -> QuerySet[AuditEvent]:
    """The tenant's audit, newest first. Filter by verb, actor_name, target, outcome as needed."""
    return AuditEvent.objects.filter(tenant_id=tenant.pk).order_by("-at", "-id")


def audit_events_everywhere(actor: Actor) -> QuerySet[AuditEvent]:
    """The audit of all tenants and of the installation, newest first. For site admins."""
    require_site_admin(actor, "audit:read")
    return AuditEvent.objects.order_by("-at", "-id")
