"""Reads. Query sets come in a stable order, to be paged by the caller."""

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
class Usage:
    """limits: rows as in quota.limit_json. holders: [{"owner", "cluster", "cluster_id", "site", "holds"}], at most
    500.
    """

    limits: list[dict[str, Any]]
    holders: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Belonging:
    """is_last_admin: nobody else is admin of the tenant."""

    tenant: Tenant
    role: Role
    is_last_admin: bool


def tenants_of(actor: Actor) -> "QuerySet[KnownTenant]":
    """Tenants that the actor may know of, by name, each with `asker_role` (None: as site admin)."""
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
    """NO_SUCH_MEMBER when there is none."""
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


def usage(tenant: Tenant, user_id: UUID | None = None) -> Usage:
    """What the tenant, and `user_id` in it, may hold and holds, and by whom. Two queries, three with
    `user_id`.
    """
    rows = limit_rows(tenant_id=tenant.pk, user_id=user_id)
    return Usage(
        limits=[level for row in rows for level in limit_json(row)],
        holders=[_holder(claim) for claim in holders(tenant)[:MOST_HOLDERS]],
    )


def users(actor: Actor) -> QuerySet[User]:
    """Everybody who is not deleted, by name; for site admins."""
    require_site_admin(actor, "users:read")
    return User.objects.filter(deleted_at=None).order_by("username")


def user(actor: Actor, username: str) -> User:
    """One of `users`; NotFound else."""
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
    """What the user's clusters hold in all tenants; it outlives the account."""
    return Claim.objects.filter(user=user).select_related("tenant").order_by("tenant__name", "label")


def tokens_of(actor: Actor) -> QuerySet[ApiToken]:
    """The actor's own tokens, oldest first; by a bound token only those bound alike."""
    tokens = ApiToken.objects.filter(user_id=actor.user_id).select_related("tenant")
    if actor.tenant_id is not None:
        tokens = tokens.filter(tenant_id=actor.tenant_id)
    return tokens.order_by("id")


def token(actor: Actor, token_id: UUID) -> ApiToken:
    """One's own token; NotFound else."""
    found = tokens_of(actor).filter(id=token_id).first()
    if found is None:
        raise NotFound
    return found


def audit_events(tenant: Tenant) -> QuerySet[AuditEvent]:
    """The tenant's audit, newest first. Filter by verb, actor_name, target, outcome as needed."""
    return AuditEvent.objects.filter(tenant_id=tenant.pk).order_by("-at", "-id")


def audit_events_everywhere(actor: Actor) -> QuerySet[AuditEvent]:
    """The whole audit, also of what belongs to no tenant; for site admins."""
    require_site_admin(actor, "audit:read")
    return AuditEvent.objects.order_by("-at", "-id")


def _holder(claim: Claim) -> dict[str, Any]:
    return {
        "owner": claim.user.username,
        "cluster": claim.label,
        "cluster_id": str(claim.owner_id),
        "site": claim.site,
        "holds": claim.amounts.to_json(),
    }
