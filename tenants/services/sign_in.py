"""Signing in by name and password: for the console, and for clients that make their first token."""

import re
import secrets
from typing import Final

from django.contrib.auth import authenticate
from django.core import signing
from django.utils import timezone

from tenants import audit
from tenants.actors import Via, actor_for, anonymous_actor
from tenants.errors import WrongPassword
from tenants.models import Outcome, User
from tenants.names import USERNAME_PATTERN
from tenants.services.passwords import LONGEST
from tenants.sign_in_throttle import (
    BY_ADDRESS,
    BY_DEVICE,
    BY_NAME,
    Counter,
    address_counter,
    count_attempt,
    forgive_attempt,
)

VERB: Final = "user.sign_in"
DEVICE_DAYS: Final = 90
_SALT: Final = "tenants.device"


def sign_in(
    *, username: str, password: str, address: str, via: Via, device: str = "", request_id: str = ""
) -> User:
    """The user with this name and password. The audit records success and failure.

    device: the cookie that `device_cookie` made when the user signed in with this browser before, "" for none. Its
    wrong attempts are counted apart, so that somebody who guesses elsewhere does not delay the user. Call it outside
    of a transaction, so that a rollback does not undo the count of wrong attempts. UNAUTHENTICATED,
    TOO_MANY_ATTEMPTS.
    """
    known_device = _device(device, username)
    counters = (
        [Counter(BY_DEVICE, known_device)]
        if known_device
        else [Counter(BY_NAME, username), address_counter(BY_ADDRESS, address)]
    )
    count_attempt(*counters)
    is_plausible = "\0" not in username + password and len(password) <= LONGEST
    user = authenticate(username=username, password=password) if is_plausible else None
    detail = {"address": address}
    if not isinstance(user, User) or user.is_service:
        # A text that is not the name of a user may be a password in the wrong field: the audit leaves it out.
        is_name = re.fullmatch(USERNAME_PATTERN, username) is not None
        is_user = is_name and User.objects.filter(username=username).exists()
        audit.record_sign_in(
            actor=anonymous_actor(via=via, request_id=request_id),
            verb=VERB,
            target=f"user/{username}" if is_user else "user/?",
            outcome=Outcome.DENIED,
            reason=WrongPassword.default_reason,
            detail=detail,
        )
        raise WrongPassword
    forgive_attempt(*counters)
    actor = actor_for(user, via=via, request_id=request_id)
    target = f"user/{username}"
    if user.password_temporary_until is not None and user.password_temporary_until < timezone.now():
        reason = "PASSWORD_EXPIRED"
        audit.record_sign_in(
            actor=actor, verb=VERB, target=target, outcome=Outcome.DENIED, reason=reason, detail=detail
        )
        raise WrongPassword("This temporary password has expired. Ask a site admin for a new one.")
    audit.record_sign_in(actor=actor, verb=VERB, target=target, outcome=Outcome.ALLOWED, detail=detail)
    return user


def sign_out(*, user: User, address: str, request_id: str = "") -> None:
    """Records the sign-out in the audit. The caller ends the session."""
    audit.record_sign_in(
        actor=actor_for(user, request_id=request_id),
        verb="user.sign_out",
        target=f"user/{user.username}",
        outcome=Outcome.ALLOWED,
        detail={"address": address},
    )


def device_cookie(user: User) -> str:
    """A signed cookie that proves that the user signed in with this browser. It gives no access."""
    return signing.dumps({"user": user.username, "id": secrets.token_hex(8)}, salt=_SALT)


def _device(cookie: str, username: str) -> str:
    """The id of the browser if `username` signed in with it before, else ""."""
    try:
        found = signing.loads(cookie, salt=_SALT, max_age=DEVICE_DAYS * 24 * 3600)
    except signing.BadSignature:
        return ""
    return f"{username} {found['id']}" if found["user"] == username else ""
