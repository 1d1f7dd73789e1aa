from typing import Final

from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from tenants import audit
from tenants.access import require_site_admin
from tenants.actors import Actor
from tenants.errors import Conflict, Invalid
from tenants.models import ApiToken, Membership, Tenant, User
from tenants.names import validate_username
from tenants.services.accounts import account_lock
from tenants.services.passwords import check_password, set_temporary
from tenants.signals import rights_lost, tenant_changed

# The audit uses these names for actors that are not users.
_RESERVED: Final = frozenset({"system", "anonymous"})


def user_create(
    *, actor: Actor, username: str, password: str, email: str = "", site_admin: bool = False
) -> User:
    """Creates a person with a password, in no tenant yet. For site admins. NAME_TAKEN, INVALID."""
    require_site_admin(actor, "users:write")
    user = _new(username, email, site_admin)
    check_password(password, user)
    user.set_password(password)
    _create(actor, user)
    return user


def user_invite(
    *, actor: Actor, username: str, email: str = "", site_admin: bool = False
) -> tuple[User, str]:
    """Creates a person with a temporary password, which is returned only here. For site admins. NAME_TAKEN, INVALID."""
    require_site_admin(actor, "users:write")
    user = _new(username, email, site_admin)
    password = set_temporary(user)
    _create(actor, user)
    return user, password


def service_create(*, actor: Actor, username: str, email: str = "", site_admin: bool = False) -> User:
    """Creates the account of a program. It has no password, only tokens that site admins make. NAME_TAKEN, INVALID."""
    require_site_admin(actor, "users:write")
    user = _new(username, email, site_admin)
    user.is_service = True
    user.set_unusable_password()
    _create(actor, user)
    return user


def user_update(
    *, actor: Actor, username: str, email: str | None = None, site_admin: bool | None = None
) -> User:
    """Changes the arguments that are not None. For site admins. NOT_FOUND, INVALID, LAST_SITE_ADMIN."""
    require_site_admin(actor, "users:write")
    with transaction.atomic():
        if site_admin is False:
            _keep_a_site_admin(username)
        user = account_lock(username)
        detail: dict[str, object] = {}
        if email is not None and email != user.email:
            user.email = _email(email)
            detail["email"] = "changed"
        if site_admin is not None and site_admin != user.is_superuser:
            user.is_superuser = site_admin
            detail["site_admin"] = site_admin
        if detail:
            user.save(update_fields=["email", "is_superuser"])
            audit.record(actor=actor, verb="user.update", target=f"user/{username}", detail=detail)
    return user


def user_disable(*, actor: Actor, username: str) -> User:
    """Ends the user's sessions and tokens at once and refuses to sign them in. For site admins. Idempotent.

    Memberships stay. Clusters continue to run; admins of the tenant can stop them. NOT_FOUND, LAST_SITE_ADMIN.
    """
    require_site_admin(actor, "users:write")
    with transaction.atomic():
        _keep_a_site_admin(username)
        user = account_lock(username)
        if not user.is_active:
            return user
        ended = _lock_out(user)
        user.save(update_fields=["is_active", "session_epoch"])
        user.refresh_from_db(fields=["session_epoch"])
        detail = {"tokens_ended": ended}
        audit.record(actor=actor, verb="user.disable", target=f"user/{username}", detail=detail)
        rights_lost.send(sender=User, user_id=user.pk, tenant_id=None)
    return user


def user_enable(*, actor: Actor, username: str) -> User:
    """Lets a disabled user sign in again with the same password. Their old tokens stay deleted. NOT_FOUND."""
    require_site_admin(actor, "users:write")
    with transaction.atomic():
        user = account_lock(username)
        if not user.is_active:
            user.is_active = True
            user.save(update_fields=["is_active"])
            audit.record(actor=actor, verb="user.enable", target=f"user/{username}")
    return user


def user_delete(*, actor: Actor, username: str) -> None:
    """Ends the user's memberships, sessions and tokens for good. For site admins. NOT_FOUND, LAST_SITE_ADMIN.

    The name cannot be used again, because the ledger and the audit refer to it. The user's clusters continue to run and
    stay counted until an admin of the tenant stops them. The last admin of a tenant can be deleted too.
    """
    require_site_admin(actor, "users:write")
    with transaction.atomic():
        _keep_a_site_admin(username)
        left = _leave_all(actor, username)
        user = account_lock(username)
        ended = _lock_out(user)
        user.deleted_at, user.is_superuser, user.email = timezone.now(), False, ""
        user.password = make_password(None)
        user.save()
        detail = {"tenants": left, "tokens_ended": ended}
        audit.record(actor=actor, verb="user.delete", target=f"user/{username}", detail=detail)
        rights_lost.send(sender=User, user_id=user.pk, tenant_id=None)


def _lock_out(user: User) -> int:
    """Disables the instance without saving it, deletes the user's tokens and returns how many there were."""
    user.is_active = False
    user.session_epoch = F("session_epoch") + 1
    ended, _ = ApiToken.objects.filter(user=user).delete()
    return ended


def _leave_all(actor: Actor, username: str) -> list[str]:
    """Ends all memberships and returns the names of the tenants.

    It locks the tenants in the order of their ids. Call it before the user is locked, as every lock is taken in the
    order tenant, user.
    """
    mine = Membership.objects.filter(user__username=username)
    tenants = Tenant.objects.select_for_update(no_key=True).filter(pk__in=mine.values("tenant_id"))
    left = []
    for tenant in tenants.order_by("id"):
        membership = mine.filter(tenant=tenant).first()
        if membership is None:
            continue
        membership.delete()
        detail = {"role_before": membership.role, "because": "user.delete"}
        audit.record(
            actor=actor, verb="member.remove", target=f"member/{username}", tenant=tenant, detail=detail
        )
        tenant_changed.send(sender=Tenant, tenant_id=tenant.pk, change="members", user_id=membership.user_id)
        left.append(tenant.name)
    return left


def _keep_a_site_admin(username: str) -> None:
    """Raises Conflict if this is the last site admin who can sign in. All of them are locked until commit."""
    admins = User.objects.select_for_update(no_key=True).filter(
        is_superuser=True, is_active=True, is_service=False
    )
    names = [user.username for user in admins.order_by("id")]
    if names == [username]:
        raise Conflict("LAST_SITE_ADMIN", "This is the last site admin. Make another user site admin first.")


def _new(username: str, email: str, site_admin: bool) -> User:
    """A user who is not saved yet. Raises Invalid."""
    validate_username(username)
    if username in _RESERVED:
        raise Invalid.at("/username", "This name is reserved. Choose another one.")
    return User(username=username, email=_email(email), is_superuser=site_admin)


def _create(actor: Actor, user: User) -> None:
    with transaction.atomic():
        try:
            with transaction.atomic():
                user.save(force_insert=True)
        except IntegrityError as error:
            raise Conflict(
                "NAME_TAKEN",
                "A user has or had this name; names of deleted users stay in the audit. Choose another one.",
            ) from error
        detail = {"site_admin": user.is_superuser, "service": user.is_service}
        audit.record(actor=actor, verb="user.create", target=f"user/{user.username}", detail=detail)


def _email(email: str) -> str:
    if not email:
        return ""
    try:
        validate_email(email)
    except ValidationError as error:
        raise Invalid.at("/email", "Must be an email address.") from error
    return email
