"""Bearer tokens, and name and password to make a first token. The sessions of the console do not count here."""

from base64 import b64decode
from binascii import Error as NotBase64
from hmac import compare_digest
from typing import Any, Final

from django.http import HttpRequest
from django.utils import timezone
from knox.crypto import hash_token
from knox.settings import CONSTANTS
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from structlog.contextvars import bind_contextvars

from controlplane.api.queries import tokens_with_key
from tenants.actors import Actor, actor_for
from tenants.errors import WrongPassword
from tenants.models import ApiToken, User
from tenants.services import sign_in, token_used
from tenants.sign_in_throttle import TOKENS_BY_ADDRESS, address_counter, count_attempt

KEYWORD: Final = "Bearer"
_USED_EVERY: Final = 60
_LONGEST: Final = 200
_LONGEST_BASIC: Final = 6000


class BearerAuthentication(BaseAuthentication):
    """`Authorization: Bearer <token>`. Sets request.actor; user is the token's owner, auth the token's row."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        words = get_authorization_header(request).split()
        if not words:
            return None
        if len(words) != 2 or words[0].lower() != KEYWORD.lower().encode():
            raise AuthenticationFailed("Send one header of the form: Authorization: Bearer <token>.")
        token = _token(words[1])
        if token is None:
            # Only wrong ones count, so that others at the same address are not held up.
            counter = address_counter(TOKENS_BY_ADDRESS, address_of(request))
            count_attempt(counter)
            raise AuthenticationFailed("This token is unknown, expired or revoked.")
        _note_use(token)
        # On Django's request, as the log of requests reads the actor there.
        django_request: Any = request._request
        django_request.actor = actor_for(token.user, token=token, request_id=request_id_of(request))
        bind_contextvars(user_id=str(token.user.pk))
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return f'{KEYWORD} realm="api"'


class PasswordAuthentication(BearerAuthentication):
    """Also `Authorization: Basic` for a POST, so that a command line can get its first token."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken | None] | None:  # type: ignore[override]
        words = get_authorization_header(request).split()
        if request.method != "POST" or len(words) != 2 or words[0].lower() != b"basic":
            return super().authenticate(request)
        username, password = _name_and_password(words[1])
        try:
            user = sign_in(
                username=username,
                password=password,
                address=address_of(request),
                via="password",
                request_id=request_id_of(request),
            )
        except WrongPassword as refusal:
            raise AuthenticationFailed(refusal.detail) from None
        if user.password_temporary_until is not None:
            raise AuthenticationFailed(
                "This password is temporary. Sign in to the console first and choose your own."
            )
        django_request: Any = request._request
        django_request.actor = actor_for(user, via="password", request_id=request_id_of(request))
        bind_contextvars(user_id=str(user.pk))
        return user, None


def address_of(request: Request | HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR", ""))


def actor_of(request: Request) -> Actor:
    actor: Actor = request.actor  # type: ignore[attr-defined]
    return actor


def request_id_of(request: Request | HttpRequest) -> str:
    return str(getattr(request, "request_id", ""))


def _name_and_password(raw: bytes) -> tuple[str, str]:
    """Name and password from the credentials of RFC 7617. Raises AuthenticationFailed."""
    try:
        name, colon, password = b64decode(raw[:_LONGEST_BASIC], validate=True).decode().partition(":")
    except (NotBase64, UnicodeDecodeError):
        colon = ""
    if not colon:
        raise AuthenticationFailed(
            "Send name and password as curl -u does: Basic and base64 of name:password."
        )
    return name, password


def _token(raw: bytes) -> ApiToken | None:
    """The valid token with this secret."""
    if not raw.isascii() or len(raw) > _LONGEST:
        return None
    secret = raw.decode()
    digest: str = hash_token(secret)
    # Keys are prefixes of secrets and may coincide; only the digest proves the secret.
    found = tokens_with_key(secret[: CONSTANTS.TOKEN_KEY_LENGTH])
    token = next((token for token in found if compare_digest(token.digest, digest)), None)
    if token is None or not token.user.is_active:
        return None
    return token if token.expiry is None or token.expiry > timezone.now() else None


def _note_use(token: ApiToken) -> None:
    used = token.last_used_at
    if used is None or (timezone.now() - used).total_seconds() > _USED_EVERY:
        token_used(token)
