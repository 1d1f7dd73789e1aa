"""Who may do what: one table, one question.

An outsider gets NotFound, whether the tenant is missing, deleted or somebody else's. Inside one's own tenant
a missing right is NeedsRole, which names the role.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypedDict
from uuid import UUID

from django.db import connection
from django.db.models import OuterRef, QuerySet, Subquery

from tenants.actors import Actor
from tenants.errors import Conflict, NeedsRole, NeedsScope, NotFound
from tenants.models import Membership, Role, Tenant, TenantState
from tenants.names import NAME_PATTERN, parse_id

if TYPE_CHECKING:
    from django_stubs_ext import WithAnnotations

    class _Asker(TypedDict):
        asker_role: str | None

    KnownTenant = WithAnnotations[Tenant, _Asker]

Seat = Literal["viewer", "member", "admin", "site_admin"]
Permission = Literal[
    "tenant.read",
    "tenant.write",
    "tenant.write_limits",
    "members.read",
    "members.write",
    "member_limits.write",
    "audit.read",
    "templates.read",
    "templates.read_unpublished",
    "templates.write",
    "connections.read",
    "connections.write",
    "cluster.read",
    "cluster.launch",
    "cluster.launch_unpublished",
    "cluster.operate_own",
    "cluster.operate_any",
    "cluster.logs_own",
    "cluster.logs_any",
    "cluster.open_own",
    "cluster.open_any",
    "cluster.release",
]

_NOBODY: Final[frozenset[Seat]] = frozenset()
_EVERYBODY: Final[frozenset[Seat]] = frozenset({"viewer", "member", "admin", "site_admin"})
_USERS: Final[frozenset[Seat]] = frozenset({"member", "admin"})
_ADMINS: Final[frozenset[Seat]] = frozenset({"admin", "site_admin"})
_ABOVE: Final[frozenset[Seat]] = frozenset({"site_admin"})

# "own" includes what was shared with the asker. A site admin who is no member launches nothing and opens no
# page.
PERMISSIONS: Final[dict[Permission, frozenset[Seat]]] = {
    "tenant.read": _EVERYBODY,
    "tenant.write": _ABOVE,
    "tenant.write_limits": _ABOVE,
    "members.read": _EVERYBODY,
    "members.write": _ADMINS,
    "member_limits.write": _ADMINS,
    "audit.read": _ADMINS,
    "templates.read": _EVERYBODY,
    "templates.read_unpublished": _ADMINS,
    "templates.write": _ADMINS,
    "connections.read": _EVERYBODY,
    "connections.write": _ADMINS,
    "cluster.read": _EVERYBODY,
    "cluster.launch": _USERS,
    "cluster.launch_unpublished": _ADMINS,
    "cluster.operate_own": _USERS,
    "cluster.operate_any": _ADMINS,
    "cluster.logs_own": _USERS,
    "cluster.logs_any": _ADMINS,
    "cluster.open_own": _USERS,
    "cluster.open_any": _NOBODY,
    "cluster.release": _ABOVE,
}

SCOPE_OF: Final[dict[Permission, str]] = {
    "tenant.read": "tenants:read",
    "tenant.write": "tenants:write",
    "tenant.write_limits": "tenants:write",
    "members.read": "tenants:read",
    "members.write": "tenants:write",
    "member_limits.write": "tenants:write",
    "audit.read": "audit:read",
    "templates.read": "templates:read",
    "templates.read_unpublished": "templates:read",
    "templates.write": "templates:write",
    "connections.read": "clusters:read",
    "connections.write": "clusters:write",
    "cluster.read": "clusters:read",
    "cluster.launch": "clusters:write",
    "cluster.launch_unpublished": "clusters:write",
    "cluster.operate_own": "clusters:write",
    "cluster.operate_any": "clusters:write",
    "cluster.logs_own": "clusters:read",
    "cluster.logs_any": "clusters:read",
    "cluster.open_own": "clusters:write",
    "cluster.open_any": "clusters:write",
    "cluster.release": "clusters:write",
}

_SEAT_OF: Final[dict[Role, Seat]] = {Role.VIEWER: "viewer", Role.MEMBER: "member", Role.ADMIN: "admin"}
_ROLE_ORDER: Final = (Role.VIEWER, Role.MEMBER, Role.ADMIN)
_GRANTED_BY_ADMIN: Final = "an admin of the tenant or a site admin"
_SITE_ADMIN: Final = "site admin"


# In the order of the model, as from_db wants them.
_COLUMNS: Final = ("id", "name", "display_name", "state", "created_at", "deleted_at")
# Spelled out, as every request asks it: making the statement anew cost more than its answer.
_ENTER: Final = f"""
SELECT {", ".join(f"t.{column}" for column in _COLUMNS)},
       (SELECT role FROM tenants_membership WHERE tenant_id = t.id AND user_id = %s)
  FROM tenants_tenant t WHERE t.{{column}} = %s AND t.state <> 'deleted'
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Access:
    """An actor inside a tenant. role None: a site admin who is no member."""

    tenant: Tenant
    role: Role | None
    actor: Actor

    def can(self, role: Role | str) -> bool:
        """Whether the membership is of at least this role. Being site admin counts for nothing here: see
        `may`.
        """
        return self.role is not None and _ROLE_ORDER.index(self.role) >= _ROLE_ORDER.index(Role(role))

    def require(self, role: Role | str) -> None:
        if not self.can(role):
            raise NeedsRole(Role(role).value, granted_by=_GRANTED_BY_ADMIN)

    def may(self, permission: Permission) -> bool:
        """Whether the actor has both the seat and the scope: the same question that `allow` asks."""
        return self.actor.has_scope(SCOPE_OF[permission]) and self.has_seat(permission)

    def has_seat(self, permission: Permission) -> bool:
        """Whether the table gives this to the actor's role or site admin's seat, whatever the token's scopes."""
        return not self._seats(permission).isdisjoint(PERMISSIONS[permission])

    def require_active(self) -> None:
        """For whatever would start something new: refused while the tenant is suspended or going away."""
        if self.tenant.state == TenantState.SUSPENDED:
            raise Conflict("TENANT_SUSPENDED", "The tenant is suspended. A site admin can resume it.")
        if self.tenant.state != TenantState.ACTIVE:
            raise Conflict("WRONG_PHASE", "The tenant is being deleted.")

    def _seats(self, permission: Permission) -> frozenset[Seat]:
        seats: set[Seat] = set()
        if self.role is not None:
            seats.add(_SEAT_OF[self.role])
        # Bound to a tenant, a site admin's token keeps what its owner may do inside, and nothing above.
        if self.actor.above_tenants or (self.actor.site_admin and PERMISSIONS[permission] != _ABOVE):
            seats.add("site_admin")
        return frozenset(seats)


def is_lower(role: Role, than: Role) -> bool:
    return _ROLE_ORDER.index(role) < _ROLE_ORDER.index(than)


def tenant_for(actor: Actor, name_or_id: str | UUID) -> Access:
    """The tenant as `actor` may enter it. NotFound alike for all that it may not. One query."""
    named = _named(name_or_id)
    row = None
    if named is not None:
        column, value = named
        with connection.cursor() as cursor:
            cursor.execute(_ENTER.format(column=column), [actor.user_id, value])
            row = cursor.fetchone()
    if row is None or not _may_know(actor, tenant_id=row[0], role=row[-1]):
        raise NotFound(by_access=True)
    tenant = Tenant.from_db("default", _COLUMNS, row[:-1])
    tenant.asker_role = row[-1]  # type: ignore[attr-defined]
    return Access(tenant=tenant, role=None if row[-1] is None else Role(row[-1]), actor=actor)


def _may_know(actor: Actor, *, tenant_id: UUID, role: str | None) -> bool:
    """As `known_tenants`, of one row."""
    bound_elsewhere = actor.tenant_id is not None and actor.tenant_id != tenant_id
    return not bound_elsewhere and (role is not None or actor.site_admin)


def known_tenants(actor: Actor) -> "QuerySet[KnownTenant]":
    """Those that the actor may know of, each with `asker_role`: None where only a site admin may look."""
    role = Membership.objects.filter(tenant=OuterRef("pk"), user_id=actor.user_id).values("role")
    tenants = Tenant.objects.exclude(state=TenantState.DELETED).annotate(asker_role=Subquery(role[:1]))
    if not actor.site_admin:
        tenants = tenants.filter(asker_role__isnull=False)
    if actor.tenant_id is not None:
        tenants = tenants.filter(pk=actor.tenant_id)
    return tenants


def allow(access: Access, permission: Permission) -> None:
    """Returns if the actor may; else NeedsScope or NeedsRole."""
    require_scope(access.actor, SCOPE_OF[permission])
    if not access.has_seat(permission):
        raise _needs(permission)


def require_scope(actor: Actor, scope: str) -> None:
    if not actor.has_scope(scope):
        raise NeedsScope(scope)


def require_site_admin(actor: Actor, scope: str = "tenants:write") -> None:
    """For what belongs to no tenant: tenants and users themselves, sites, the catalogue."""
    require_scope(actor, scope)
    if not actor.above_tenants:
        raise NeedsRole(_SITE_ADMIN, granted_by="another site admin")


def _named(name_or_id: str | UUID) -> tuple[Literal["id", "name"], str | UUID] | None:
    """None for what can be neither a name nor an id, such as text that the database would not take."""
    pk = name_or_id if isinstance(name_or_id, UUID) else parse_id(name_or_id)
    if pk is not None:
        return "id", pk
    return ("name", name_or_id) if re.fullmatch(NAME_PATTERN, str(name_or_id)) else None


def _needs(permission: Permission) -> NeedsRole:
    seats = PERMISSIONS[permission]
    for role in _ROLE_ORDER:
        if role.value in seats:
            return NeedsRole(role.value, granted_by=_GRANTED_BY_ADMIN)
    if seats:
        return NeedsRole(_SITE_ADMIN, granted_by="another site admin")
    return NeedsRole("owner", granted_by="the owner, who can share it")
