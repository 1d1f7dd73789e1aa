from typing import Final

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction

from tenants import audit
from tenants.access import require_site_admin
from tenants.actors import Actor
from tenants.errors import Conflict, FieldError, Invalid
from tenants.models import User
from tenants.names import validate_username

_LONGEST_PASSWORD: Final = 1000
# Would read in the audit as if Slipway had done it by itself.
_RESERVED: Final = frozenset({"system"})


def user_create(
    *, actor: Actor, username: str, password: str, email: str = "", site_admin: bool = False
) -> User:
    """Creates somebody who can sign in. For site admins. NAME_TAKEN, INVALID."""
    require_site_admin(actor)
    user = User(username=_free_to_use(username), email=_email(email), is_superuser=site_admin)
    _check_password(password, user)
    user.set_password(password)
    with transaction.atomic():
        _insert(user)
        audit.record(
            actor=actor, verb="user.create", target=f"user/{username}", detail={"site_admin": site_admin}
        )
    return user


def _insert(user: User) -> None:
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError as taken:
        raise Conflict("NAME_TAKEN", "There is a user of this name. Choose another.") from taken


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


def _check_password(password: object, user: User) -> None:
    if not isinstance(password, str) or not 0 < len(password) <= _LONGEST_PASSWORD:
        raise Invalid.at("/password", f"Use 1 to {_LONGEST_PASSWORD} characters.")
    try:
        validate_password(password, user)
    except ValidationError as faults:
        raise Invalid(
            errors=[FieldError(pointer="/password", detail=text) for text in faults.messages]
        ) from faults
