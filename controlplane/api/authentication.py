"""Bearer tokens; the console's sessions open nothing here."""

from hmac import compare_digest
from typing import Final

from django.http import HttpRequest
from django.utils import timezone
from knox.crypto import hash_token
from knox.settings import CONSTANTS
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from tenants.actors import Actor, actor_for
from tenants.models import ApiToken, User
from tenants.services import token_used

KEYWORD: Final = "Bearer"
_USED_EVERY: Final = 60
_LONGEST: Final = 200


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
            raise AuthenticationFailed("This token is unknown, expired or revoked.")
        _note_use(token)
        request.actor = actor_for(token.user, token=token, request_id=request_id_of(request))  # type: ignore[attr-defined]
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return f'{KEYWORD} realm="api"'


def actor_of(request: Request) -> Actor:
    actor: Actor = request.actor  # type: ignore[attr-defined]
    return actor


def request_id_of(request: Request | HttpRequest) -> str:
    return str(getattr(request, "request_id", ""))


def _token(raw: bytes) -> ApiToken | None:
    if not raw.isascii() or len(raw) > _LONGEST:
        return None
    secret = raw.decode()
    digest: str = hash_token(secret)
    found = ApiToken.objects.filter(token_key=secret[: CONSTANTS.TOKEN_KEY_LENGTH]).select_related("user")
    # Keys are prefixes and may coincide; only the digest proves the secret.
    token = next((row for row in found if compare_digest(row.digest, digest)), None)
    return token if token is not None and _is_good(token) else None


def _is_good(token: ApiToken) -> bool:
    return token.user.is_active and (token.expiry is None or token.expiry > timezone.now())


def _note_use(token: ApiToken) -> None:
    used = token.last_used_at
    if used is None or (timezone.now() - used).total_seconds() > _USED_EVERY:
        token_used(token)
