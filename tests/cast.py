"""The people and tenants of the tests, stored directly, without audit rows and password hashes.

acme: alice (admin), bob (member), carol (viewer). globex: charlie (admin). root is site admin and in no tenant.
"""

from dataclasses import dataclass, replace
from uuid import UUID

from tenants.access import Access, tenant_for
from tenants.actors import Actor, actor_for
from tenants.models import Limit, Membership, Role, Tenant, User

# The hasher of the product takes a third of a second.
QUICK_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@dataclass(frozen=True)
class Cast:
    acme: Tenant
    globex: Tenant
    alice: User
    bob: User
    carol: User
    charlie: User
    root: User


def cast() -> Cast:
    """Creates all people and tenants, with unlimited limits."""
    acme, globex = a_tenant("acme"), a_tenant("globex")
    people = {name: a_user(name) for name in ("alice", "bob", "carol", "charlie")}
    a_member(acme, people["alice"], Role.ADMIN)
    a_member(acme, people["bob"], Role.MEMBER)
    a_member(acme, people["carol"], Role.VIEWER)
    a_member(globex, people["charlie"], Role.ADMIN)
    return Cast(acme=acme, globex=globex, root=a_user("root", site_admin=True), **people)


def a_user(username: str, *, site_admin: bool = False) -> User:
    return User.objects.create(username=username, password="!", is_superuser=site_admin)


def a_tenant(name: str, **limits: int | None) -> Tenant:
    """limits: cpu in millicores, memory and storage in bytes, gpu, clusters; others are unlimited."""
    tenant = Tenant.objects.create(name=name, display_name=name.capitalize())
    Limit.objects.create(tenant=tenant, **{f"limit_{resource}": value for resource, value in limits.items()})
    return tenant


def a_member(tenant: Tenant, user: User, role: Role, **limits: int | None) -> Membership:
    Limit.objects.create(
        tenant=tenant, user=user, **{f"limit_{resource}": value for resource, value in limits.items()}
    )
    return Membership.objects.create(tenant=tenant, user=user, role=role)


def set_limits(tenant: Tenant, user: User | None = None, **limits: int | None) -> None:
    changed = Limit.objects.filter(tenant=tenant, user=user).update(
        **{f"limit_{resource}": value for resource, value in limits.items()}
    )
    assert changed == 1


def an_actor(
    user: User, *, scopes: set[str] | None = None, bound_to: Tenant | UUID | None = None, request_id: str = ""
) -> Actor:
    """Returns the actor of a session, or of a token when scopes or a tenant are given."""
    actor = actor_for(user, request_id=request_id)
    if scopes is None and bound_to is None:
        return actor
    tenant_id = bound_to.pk if isinstance(bound_to, Tenant) else bound_to
    return replace(
        actor, via="token", scopes=None if scopes is None else frozenset(scopes), tenant_id=tenant_id
    )


def an_access(user: User, tenant: Tenant, *, scopes: set[str] | None = None) -> Access:
    return tenant_for(an_actor(user, scopes=scopes), tenant.pk)
