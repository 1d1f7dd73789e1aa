"""Bearer tokens, and name and password where a token is made; the console's sessions open nothing here."""

import json
from base64 import b64decode
from binascii import Error as NotBase64
from hmac import compare_digest
from typing import Any, Final

from django.db import connection
from django.http import HttpRequest
from django.utils import timezone
from knox.crypto import hash_token
from knox.settings import CONSTANTS
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from structlog.contextvars import bind_contextvars

from tenants.actors import Actor, actor_for
from tenants.errors import WrongPassword
from tenants.models import ApiToken, User
from tenants.services import sign_in, token_used
from tenants.sign_in_throttle import TOKENS_BY_ADDRESS, address_counter, count_attempt

KEYWORD: Final = "Bearer"
_USED_EVERY: Final = 60
_LONGEST: Final = 200
_LONGEST_BASIC: Final = 6000

# Spelled out, because every request asks it: building the statement anew cost more than its answer.
# Columns in the order of their models, as from_db wants them.
_TOKEN_COLUMNS: Final = ("digest", "user_id", "expiry", "id", "tenant_id", "scopes", "last_used_at")
_USER_COLUMNS: Final = ("is_superuser", "is_active", "id", "username")
_FIND: Final = f"""
SELECT {", ".join(f"t.{column}" for column in _TOKEN_COLUMNS)}, {", ".join(f"u.{column}" for column in _USER_COLUMNS)}
  FROM tenants_apitoken t JOIN tenants_user u ON u.id = t.user_id WHERE t.token_key = %s
"""  # noqa: S608


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
        # On the request below: the log of requests sees that one.
        asked: Any = request._request
        asked.actor = actor_for(token.user, token=token, request_id=request_id_of(request))
        bind_contextvars(user_id=str(token.user.pk))
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return f'{KEYWORD} realm="api"'


class PasswordAuthentication(BearerAuthentication):
    """Also `Authorization: Basic`, for a POST: how a command line gets its first token."""

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
        asked: Any = request._request
        asked.actor = actor_for(user, via="password", request_id=request_id_of(request))
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
    """As RFC 7617 joins them. Raises AuthenticationFailed."""
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
    if not raw.isascii() or len(raw) > _LONGEST:
        return None
    secret = raw.decode()
    digest: str = hash_token(secret)
    with connection.cursor() as cursor:
        cursor.execute(_FIND, [secret[: CONSTANTS.TOKEN_KEY_LENGTH]])
        found = cursor.fetchall()
    # Keys are prefixes and may coincide; only the digest proves the secret.
    row = next((row for row in found if compare_digest(row[0], digest)), None)
    token = None if row is None else _read(row)
    return token if token is not None and _is_good(token) else None


def _read(row: tuple[Any, ...]) -> ApiToken:
    """The token and its owner; columns that no request needs are read when they are asked for."""
    *values, scopes, last_used_at = row[: len(_TOKEN_COLUMNS)]
    scopes = None if scopes is None else json.loads(scopes)
    token = ApiToken.from_db("default", _TOKEN_COLUMNS, (*values, scopes, last_used_at))
    token.user = User.from_db("default", _USER_COLUMNS, row[len(_TOKEN_COLUMNS) :])
    return token


def _is_good(token: ApiToken) -> bool:
    return token.user.is_active and (token.expiry is None or token.expiry > timezone.now())


def _note_use(token: ApiToken) -> None:
    used = token.last_used_at
    if used is None or (timezone.now() - used).total_seconds() > _USED_EVERY:
        token_used(token)
