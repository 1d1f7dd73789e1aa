"""Signing in by name and password, for the console and for the first call of a command line."""

import re
import secrets
from typing import Final

from django.contrib.auth import authenticate
from django.core import signing
from django.utils import timezone

from tenants import attempts, audit
from tenants.actors import Via, actor_for, anonymous_actor
from tenants.attempts import ADDRESS, DEVICE, NAME, Counted, of_address
from tenants.errors import WrongPassword
from tenants.models import Outcome, User
from tenants.names import USERNAME_PATTERN
from tenants.services.passwords import LONGEST

VERB: Final = "user.sign_in"
DEVICE_DAYS: Final = 90
_SALT: Final = "tenants.device"


def sign_in(
    *, username: str, password: str, address: str, via: Via, device: str = "", request_id: str = ""
) -> User:
    """The user, if name and password belong together; good or bad, it is in the audit.

    device: what `device_cookie` made when this browser signed in before, "" for none; it has a budget of its own, so
    that guessing from elsewhere does not hold it up. Call it outside of a transaction: the attempt counts.
    WRONG_PASSWORD (UNAUTHENTICATED), TOO_MANY_ATTEMPTS.
    """
    known = _device(device, username)
    counted = [Counted(DEVICE, known)] if known else [Counted(NAME, username), of_address(ADDRESS, address)]
    attempts.take(*counted)
    sane = "\0" not in username + password and len(password) <= LONGEST
    user = authenticate(username=username, password=password) if sane else None
    detail = {"address": address}
    if not isinstance(user, User) or user.is_service:
        # What is no name of a user may be a password in the wrong field.
        named = User.objects.filter(username=username).exists() if _is_name(username) else False
        audit.visit(
            actor=anonymous_actor(via=via, request_id=request_id),
            verb=VERB,
            target=f"user/{username}" if named else "user/?",
            outcome=Outcome.DENIED,
            reason=WrongPassword.default_reason,
            detail=detail,
        )
        raise WrongPassword
    attempts.right(*counted)
    actor = actor_for(user, via=via, request_id=request_id)
    target = f"user/{username}"
    if user.password_temporary_until is not None and user.password_temporary_until < timezone.now():
        reason = "PASSWORD_EXPIRED"
        audit.visit(
            actor=actor, verb=VERB, target=target, outcome=Outcome.DENIED, reason=reason, detail=detail
        )
        raise WrongPassword("This temporary password has expired. Ask a site admin for a new one.")
    audit.visit(actor=actor, verb=VERB, target=target, outcome=Outcome.ALLOWED, detail=detail)
    return user


def sign_out(*, user: User, address: str, request_id: str = "") -> None:
    """Writes it down; ending the session is the console's."""
    audit.visit(
        actor=actor_for(user, request_id=request_id),
        verb="user.sign_out",
        target=f"user/{user.username}",
        outcome=Outcome.ALLOWED,
        detail={"address": address},
    )


def device_cookie(user: User) -> str:
    """Says that the user signed in with this browser, and opens nothing."""
    return signing.dumps({"user": user.username, "id": secrets.token_hex(8)}, salt=_SALT)


def _device(cookie: str, username: str) -> str:
    """The id of the browser if this user signed in with it, else ""."""
    try:
        found = signing.loads(cookie, salt=_SALT, max_age=DEVICE_DAYS * 24 * 3600)
    except signing.BadSignature:
        return ""
    return f"{username} {found['id']}" if found["user"] == username else ""


def _is_name(text: str) -> bool:
    return re.fullmatch(USERNAME_PATTERN, text) is not None
