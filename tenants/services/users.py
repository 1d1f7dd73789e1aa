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

# Would read in the audit as if Slipway had done it by itself, or nobody known.
_RESERVED: Final = frozenset({"system", "anonymous"})


def user_create(
    *, actor: Actor, username: str, password: str, email: str = "", site_admin: bool = False
) -> User:
    """Creates a person who can sign in, in no tenant yet. For site admins. NAME_TAKEN, INVALID."""
    require_site_admin(actor, "users:write")
    user = _new(username, email, site_admin)
    check_password(password, user)
    user.set_password(password)
    _create(actor, user)
    return user


def user_invite(
    *, actor: Actor, username: str, email: str = "", site_admin: bool = False
) -> tuple[User, str]:
    """The same with a temporary password, which is returned this once."""
    require_site_admin(actor, "users:write")
    user = _new(username, email, site_admin)
    password = set_temporary(user)
    _create(actor, user)
    return user, password


def service_create(*, actor: Actor, username: str, email: str = "", site_admin: bool = False) -> User:
    """Creates the account of a program: it has tokens, made by site admins, and no password."""
    require_site_admin(actor, "users:write")
    user = _new(username, email, site_admin)
    user.is_service = True
    user.set_unusable_password()
    _create(actor, user)
    return user


def user_update(
    *, actor: Actor, username: str, email: str | None = None, site_admin: bool | None = None
) -> User:
    """Changes what is given. For site admins. NOT_FOUND, INVALID, LAST_SITE_ADMIN."""
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
    """Ends the user's sessions and tokens at once, and lets them in no more. For site admins. Idempotent.

    Memberships stay, and so do clusters: they run on, and admins of the tenant can stop them.
    NOT_FOUND, LAST_SITE_ADMIN.
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
    """Lets a disabled user sign in again, with the password of before; tokens are to be made anew."""
    require_site_admin(actor, "users:write")
    with transaction.atomic():
        user = account_lock(username)
        if not user.is_active:
            user.is_active = True
            user.save(update_fields=["is_active"])
            audit.record(actor=actor, verb="user.enable", target=f"user/{username}")
    return user


def user_delete(*, actor: Actor, username: str) -> None:
    """Takes the user out of every tenant and locks them out for good. For site admins.

    The name is not given again: ledger and audit name it. What the user holds stays counted and runs on until an
    admin of the tenant stops it; also the last admin of a tenant can be deleted. NOT_FOUND, LAST_SITE_ADMIN.
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
    """On the instance; how many tokens ended."""
    user.is_active = False
    user.session_epoch = F("session_epoch") + 1
    ended, _ = ApiToken.objects.filter(user=user).delete()
    return ended


def _leave_all(actor: Actor, username: str) -> list[str]:
    """Ends all memberships; the names of the tenants. Locks tenants in the order of their ids, before the user."""
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
        raise Conflict(
            "LAST_SITE_ADMIN", "This is the last site admin. Make somebody else a site admin first."
        )


def _new(username: str, email: str, site_admin: bool) -> User:
    return User(username=_free_to_use(username), email=_email(email), is_superuser=site_admin)


def _create(actor: Actor, user: User) -> None:
    with transaction.atomic():
        _insert(user)
        detail = {"site_admin": user.is_superuser, "service": user.is_service}
        audit.record(actor=actor, verb="user.create", target=f"user/{user.username}", detail=detail)


def _insert(user: User) -> None:
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError as taken:
        raise Conflict(
            "NAME_TAKEN",
            "There is a user of this name, or was one; names of deleted users stay in the audit. Choose another.",
        ) from taken


def _free_to_use(username: str) -> str:
    validate_username(username)
    if username in _RESERVED:
        raise Invalid.at("/username", "This name is reserved. Choose another.")
    return username


def _email(email: str) -> str:
    if not email:
        return ""
    try:
        validate_email(email)
    except ValidationError as fault:
        raise Invalid.at("/email", "Must be an email address.") from fault
    return email
