"""Passwords: users change their own, site admins reset those of others. A change ends older sessions and tokens."""

import secrets
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from tenants import audit
from tenants.access import require_scope, require_site_admin
from tenants.actors import Actor
from tenants.errors import Conflict, FieldError, Invalid, NotFound
from tenants.models import ApiToken, User
from tenants.services.accounts import account_lock
from tenants.sign_in_throttle import BY_NAME, CONFIRMATION, Counter, count_attempt, forgive_attempt
from tenants.signals import sessions_ended

LONGEST: Final = 1000
TEMPORARY: Final = timedelta(hours=72)


def password_confirm(*, actor: Actor, password: str, pointer: str = "/password") -> User:
    """The actor's own row, if this is the actor's password.

    Call it outside of a transaction, so that a rollback does not undo the count of wrong attempts. INVALID,
    TOO_MANY_ATTEMPTS.
    """
    counter = Counter(CONFIRMATION, str(actor.user_id))
    count_attempt(counter)
    user = User.objects.filter(pk=actor.user_id, is_active=True).first()
    if user is None or not user.check_password(password):
        raise Invalid.at(pointer, "This is not your password.")
    forgive_attempt(counter)
    return user


def password_change(*, actor: Actor, current: str, new: str, keep: UUID | None = None) -> User:
    """Changes the actor's own password.

    All tokens end except the one with the id `keep`. All sessions end except one that stores the new session hash.
    Call it outside of a transaction, as password_confirm. INVALID, TOO_MANY_ATTEMPTS.
    """
    user = password_confirm(actor=actor, password=current, pointer="/current_password")
    check_password(new, user, "/new_password")
    if user.check_password(new):
        raise Invalid.at("/new_password", "This is your current password. Choose another.")
    with transaction.atomic():
        user = account_lock(user.username)
        user.set_password(new)
        user.password_temporary_until = None
        user.save(update_fields=["password", "password_temporary_until"])
        tokens = ApiToken.objects.filter(user=user)
        ended, _ = (tokens if keep is None else tokens.exclude(id=keep)).delete()
        audit.record(
            actor=actor,
            verb="user.change_password",
            target=f"user/{user.username}",
            detail={"tokens_ended": ended},
        )
        sessions_ended.send(sender=User, user_id=user.pk)
    return user


def password_reset(*, actor: Actor, username: str) -> tuple[User, str]:
    """Gives the user a temporary password, which is returned only here and must be changed at the first sign-in.

    For site admins, not for their own account. All sessions and tokens of the user end. NOT_FOUND, OWN_PASSWORD,
    SERVICE_ACCOUNT.
    """
    require_site_admin(actor, "users:write")
    with transaction.atomic():
        user = account_lock(username)
        if user.pk == actor.user_id:
            raise Conflict("OWN_PASSWORD", "Change your own password on the page of your account.")
        if user.is_service:
            raise Conflict("SERVICE_ACCOUNT", "A service account has no password. Make a token for it.")
        password = set_temporary(user)
        user.save(update_fields=["password", "password_temporary_until"])
        ended, _ = ApiToken.objects.filter(user=user).delete()
        forgive_attempt(Counter(BY_NAME, username), Counter(CONFIRMATION, str(user.pk)))
        audit.record(
            actor=actor,
            verb="user.reset_password",
            target=f"user/{username}",
            detail={"tokens_ended": ended},
        )
        sessions_ended.send(sender=User, user_id=user.pk)
    return user, password


def sessions_end(*, actor: Actor) -> User:
    """Ends all sessions of the actor, except one that stores the session hash of the returned user. Tokens stay."""
    require_scope(actor, "tokens:write")
    with transaction.atomic():
        changed = User.objects.filter(pk=actor.user_id).update(session_epoch=F("session_epoch") + 1)
        if not changed:
            raise NotFound
        audit.record(actor=actor, verb="user.end_sessions", target=f"user/{actor.username}")
        sessions_ended.send(sender=User, user_id=actor.user_id)
    return User.objects.get(pk=actor.user_id)


def set_temporary(user: User) -> str:
    """Sets a temporary password on the instance, without saving it, and returns the password."""
    password = secrets.token_urlsafe(12)
    user.set_password(password)
    user.password_temporary_until = timezone.now() + TEMPORARY
    return password


def check_password(password: object, user: User, pointer: str = "/password") -> None:
    """Raises Invalid unless the password validators of Django's settings accept `password`."""
    if not isinstance(password, str) or not 0 < len(password) <= LONGEST:
        raise Invalid.at(pointer, f"Use 1 to {LONGEST} characters.")
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid(errors=[FieldError(pointer=pointer, detail=text) for text in error.messages]) from error
