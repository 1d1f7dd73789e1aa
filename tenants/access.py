"""Access control: one table of permissions, and one function that checks them, `allow`.

An outsider gets NotFound for every tenant, whether it is missing, deleted or another's. A member without the right
gets NeedsRole, which names the role.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypedDict
from uuid import UUID

from django.db import connection
from django.db.models import OuterRef, QuerySet, Subquery

from tenants.actors import Actor
from tenants.errors import Conflict, NeedsRole, NeedsScope, NotFound
from tenants.models import Membership, Role, Tenant, TenantState
from tenants.names import lookup_column

if TYPE_CHECKING:
    from django_stubs_ext import WithAnnotations

    class _Asker(TypedDict):
        asker_role: str | None

    KnownTenant = WithAnnotations[Tenant, _Asker]

# Whom a permission is granted to: a role in the tenant, or site admins.
Grantee = Literal["viewer", "member", "admin", "site_admin"]
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

_NONE: Final[frozenset[Grantee]] = frozenset()
_ALL: Final[frozenset[Grantee]] = frozenset({"viewer", "member", "admin", "site_admin"})
_MEMBERS: Final[frozenset[Grantee]] = frozenset({"member", "admin"})
_ADMINS: Final[frozenset[Grantee]] = frozenset({"admin", "site_admin"})
_SITE_ADMINS: Final[frozenset[Grantee]] = frozenset({"site_admin"})

# "own" includes clusters that were shared with the actor. Site admins who are not members launch no clusters and open
# no pages.
PERMISSIONS: Final[dict[Permission, frozenset[Grantee]]] = {
    "tenant.read": _ALL,
    "tenant.write": _SITE_ADMINS,
    "tenant.write_limits": _SITE_ADMINS,
    "members.read": _ALL,
    "members.write": _ADMINS,
    "member_limits.write": _ADMINS,
    "audit.read": _ADMINS,
    "templates.read": _ALL,
    "templates.read_unpublished": _ADMINS,
    "templates.write": _ADMINS,
    "connections.read": _ALL,
    "connections.write": _ADMINS,
    "cluster.read": _ALL,
    "cluster.launch": _MEMBERS,
    "cluster.launch_unpublished": _ADMINS,
    "cluster.operate_own": _MEMBERS,
    "cluster.operate_any": _ADMINS,
    "cluster.logs_own": _MEMBERS,
    "cluster.logs_any": _ADMINS,
    "cluster.open_own": _MEMBERS,
    "cluster.open_any": _NONE,
    "cluster.release": _SITE_ADMINS,
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

_GRANTEE_OF: Final[dict[Role, Grantee]] = {Role.VIEWER: "viewer", Role.MEMBER: "member", Role.ADMIN: "admin"}
_ROLE_ORDER: Final = (Role.VIEWER, Role.MEMBER, Role.ADMIN)
_GRANTED_BY_ADMIN: Final = "an admin of the tenant or a site admin"
_SITE_ADMIN: Final = "site admin"


# In the order of the model's fields, as Tenant.from_db requires.
_COLUMNS: Final = ("id", "name", "display_name", "state", "created_at", "deleted_at")
# Hand-written, because every request runs it: the ORM took longer to build the statement than PostgreSQL to run it.
_ENTER: Final = f"""
SELECT {", ".join(f"t.{column}" for column in _COLUMNS)},
       (SELECT role FROM tenants_membership WHERE tenant_id = t.id AND user_id = %s)
  FROM tenants_tenant t WHERE t.{{column}} = %s AND t.state <> 'deleted'
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Access:
    """What an actor may do in one tenant. role: None for a site admin who is not a member."""

    tenant: Tenant
    role: Role | None
    actor: Actor

    def can(self, role: Role | str) -> bool:
        """Whether the actor is a member with at least this role. It ignores site admins' rights; see `may`."""
        return self.role is not None and _ROLE_ORDER.index(self.role) >= _ROLE_ORDER.index(Role(role))

    def require(self, role: Role | str) -> None:
        """Raises NeedsRole unless `can`."""
        if not self.can(role):
            raise NeedsRole(Role(role).value, granted_by=_GRANTED_BY_ADMIN)

    def may(self, permission: Permission) -> bool:
        """Whether `allow` would return: the actor has the permission, and the token has its scope."""
        return self.actor.has_scope(SCOPE_OF[permission]) and self.is_granted(permission)

    def is_granted(self, permission: Permission) -> bool:
        """Whether the table grants this to the actor's role, or to the actor as site admin. It ignores scopes."""
        granted_to = PERMISSIONS[permission]
        if self.role is not None and _GRANTEE_OF[self.role] in granted_to:
            return True
        # A site admin's token that is bound to this tenant keeps the rights of site admins in tenants, and none
        # above them.
        is_above = self.actor.above_tenants or (self.actor.site_admin and granted_to != _SITE_ADMINS)
        return is_above and "site_admin" in granted_to

    def require_active(self) -> None:
        """Raises Conflict while the tenant is suspended or being deleted. For requests that would start something."""
        if self.tenant.state == TenantState.SUSPENDED:
            raise Conflict("TENANT_SUSPENDED", "The tenant is suspended. A site admin can resume it.")
        if self.tenant.state != TenantState.ACTIVE:
            raise Conflict("WRONG_PHASE", "The tenant is being deleted.")


def is_lower(role: Role, than: Role) -> bool:
    """Whether `role` has fewer rights than `than`."""
    return _ROLE_ORDER.index(role) < _ROLE_ORDER.index(than)


def tenant_for(actor: Actor, name_or_id: str | UUID) -> Access:
    """The actor's access to the tenant. Raises NotFound, the same for every tenant that the actor may not enter.

    One query.
    """
    lookup = lookup_column(name_or_id)
    row = None
    if lookup is not None:
        column, value = lookup
        with connection.cursor() as cursor:
            cursor.execute(_ENTER.format(column=column), [actor.user_id, value])
            row = cursor.fetchone()
    if row is None:
        raise NotFound(by_access=True)
    *columns, role = row
    tenant = Tenant.from_db("default", _COLUMNS, columns)
    # The same rule as in `known_tenants`.
    is_bound_elsewhere = actor.tenant_id not in (None, tenant.pk)
    if is_bound_elsewhere or (role is None and not actor.site_admin):
        raise NotFound(by_access=True)
    tenant.asker_role = role  # type: ignore[attr-defined]
    return Access(tenant=tenant, role=None if role is None else Role(role), actor=actor)


def known_tenants(actor: Actor) -> "QuerySet[KnownTenant]":
    """The tenants that the actor may see. `asker_role`: the actor's role in each, None for a site admin without one."""
    role = Membership.objects.filter(tenant=OuterRef("pk"), user_id=actor.user_id).values("role")
    tenants = Tenant.objects.exclude(state=TenantState.DELETED).annotate(asker_role=Subquery(role[:1]))
    if not actor.site_admin:
        tenants = tenants.filter(asker_role__isnull=False)
    if actor.tenant_id is not None:
        tenants = tenants.filter(pk=actor.tenant_id)
    return tenants


def allow(access: Access, permission: Permission) -> None:
    """Returns if the actor has the permission and its scope. Raises NeedsScope or NeedsRole."""
    require_scope(access.actor, SCOPE_OF[permission])
    if access.is_granted(permission):
        return
    granted_to = PERMISSIONS[permission]
    lowest = next((role.value for role in _ROLE_ORDER if role.value in granted_to), None)
    if lowest is not None:
        raise NeedsRole(lowest, granted_by=_GRANTED_BY_ADMIN)
    if granted_to:
        raise NeedsRole(_SITE_ADMIN, granted_by="another site admin")
    raise NeedsRole("owner", granted_by="the owner, who can share it")


def require_scope(actor: Actor, scope: str) -> None:
    """Raises NeedsScope."""
    if not actor.has_scope(scope):
        raise NeedsScope(scope)


def require_site_admin(actor: Actor, scope: str = "tenants:write") -> None:
    """Raises NeedsScope or NeedsRole. For what belongs to no tenant: tenants, users, sites and the catalogue."""
    require_scope(actor, scope)
    if not actor.above_tenants:
        raise NeedsRole(_SITE_ADMIN, granted_by="another site admin")
