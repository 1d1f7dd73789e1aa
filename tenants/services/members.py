import re

from django.db import transaction

from tenants import audit
from tenants.access import Access, allow, is_lower
from tenants.errors import Conflict, Invalid, UserNotFound, no_such_member
from tenants.models import ApiToken, Limit, Membership, Role, Tenant, User
from tenants.names import USERNAME_PATTERN
from tenants.services.tenants import tenant_lock
from tenants.signals import rights_lost, tenant_changed


def member_put(*, access: Access, username: str, role: str) -> Membership:
    """Makes the user a member with this role, or changes the role. LAST_ADMIN, NO_SUCH_USER, INVALID."""
    allow(access, "members.write")
    if role not in Role.values:
        raise Invalid.at("/role", f"Use one of {', '.join(Role.values)}.")
    wanted = Role(role)
    user = _active_user(username)
    with transaction.atomic():
        tenant = tenant_lock(access.tenant.pk)
        membership = Membership.objects.filter(tenant=tenant, user=user).first()
        if membership is not None and membership.role == wanted:
            return membership
        if membership is None:
            membership = Membership(tenant=tenant, user=user)
            Limit.objects.get_or_create(tenant=tenant, user=user)
        else:
            _keep_an_admin(membership)
        before = Role(membership.role) if membership.role else None
        membership.role = wanted
        membership.save()
        _record(access, "member.put", tenant, user, {"role": wanted.value, "role_before": before})
        if before is not None and is_lower(wanted, before):
            rights_lost.send(sender=User, user_id=user.pk, tenant_id=tenant.pk)
    return membership


def member_remove(*, access: Access, username: str) -> None:
    """Ends the membership and deletes the user's tokens for this tenant. LAST_ADMIN, NO_SUCH_MEMBER.

    The user's clusters stay counted until they are released; receivers of tenant_changed handle them.
    """
    allow(access, "members.write")
    with transaction.atomic():
        tenant = tenant_lock(access.tenant.pk)
        membership = member_of(tenant, username)
        _keep_an_admin(membership)
        user = membership.user
        membership.delete()
        tokens, _ = ApiToken.objects.filter(tenant=tenant, user=user).delete()
        _record(access, "member.remove", tenant, user, {"role_before": membership.role, "tokens": tokens})
        rights_lost.send(sender=User, user_id=user.pk, tenant_id=tenant.pk)


def member_of(tenant: Tenant, username: str) -> Membership:
    """The membership with its user, who may be disabled. NO_SUCH_MEMBER."""
    known = re.fullmatch(USERNAME_PATTERN, username)
    found = Membership.objects.filter(tenant=tenant, user__username=username).select_related("user")
    membership = found.first() if known else None
    if membership is None:
        raise no_such_member()
    return membership


def _keep_an_admin(membership: Membership) -> None:
    """Raises Conflict if this is the last admin. Call it before a change of the membership, with the tenant locked."""
    if membership.role != Role.ADMIN:
        return
    others = Membership.objects.filter(tenant_id=membership.tenant_id, role=Role.ADMIN)
    if not others.exclude(pk=membership.pk).exists():
        raise Conflict("LAST_ADMIN", "This is the last admin of the tenant. Make another member admin first.")


def _active_user(username: str) -> User:
    known = re.fullmatch(USERNAME_PATTERN, username)
    user = User.objects.filter(username=username, is_active=True).first() if known else None
    if user is None:
        raise UserNotFound(
            "NO_SUCH_USER",
            "No active user has this name. Check the spelling; a site admin creates users.",
        )
    return user


def _record(access: Access, verb: str, tenant: Tenant, user: User, detail: dict[str, object]) -> None:
    target = f"member/{user.username}"
    audit.record(actor=access.actor, verb=verb, target=target, tenant=tenant, detail=detail)
    tenant_changed.send(sender=Tenant, tenant_id=tenant.pk, change="members", user_id=user.pk)
