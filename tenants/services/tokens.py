from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from tenants import audit
from tenants.access import require_scope, tenant_for
from tenants.actors import SCOPES, Actor
from tenants.errors import Conflict, Invalid, NeedsRole, NeedsScope, NotFound
from tenants.models import ApiToken, Tenant, User
from tenants.names import validate_text

MOST_DAYS: Final = 365
_MOST_TOKENS: Final = 200
_USED_EVERY: Final = timedelta(minutes=1)


def token_create(
    *,
    actor: Actor,
    name: str,
    tenant: str | UUID | None = None,
    scopes: Iterable[str] | None = None,
    expires_in_days: int = 90,
) -> tuple[ApiToken, str]:
    """A new token of the actor's own, and its secret, which is shown this once.

    tenant: name or id of the one tenant it is for; None for all of the owner's. scopes: from SCOPES; None for
    all. A token made by a token gets no more than that one has. INVALID, NEEDS_SCOPE, NEEDS_ROLE, NOT_FOUND,
    TOO_MANY.
    """
    require_scope(actor, "tokens:write")
    text = validate_text(name, "/name", longest=100)
    days = _days(expires_in_days)
    wanted = _scopes(scopes)
    _within(actor, wanted, tenant)
    bound = None if tenant is None else tenant_for(actor, tenant).tenant
    with transaction.atomic():
        user = _owner(actor)
        token, secret = ApiToken.objects.create(  # type: ignore[no-untyped-call]
            user=user, expiry=_lasting(actor, days), name=text, tenant=bound, scopes=wanted
        )
        detail = {"name": text, "scopes": wanted, "days": days}
        _record(actor, "token.create", token, bound, detail)
    return token, secret


def token_revoke(*, actor: Actor, token_id: UUID) -> None:
    """Ends a token at once: one's own, or anybody's for site admins. NOT_FOUND for all others."""
    require_scope(actor, "tokens:write")
    with transaction.atomic():
        tokens = ApiToken.objects.select_for_update(of=["self"]).select_related("user", "tenant")
        if not actor.above_tenants:
            tokens = tokens.filter(user_id=actor.user_id)
        if actor.tenant_id is not None:
            tokens = tokens.filter(tenant_id=actor.tenant_id)
        token = tokens.filter(id=token_id).first()
        if token is None:
            raise NotFound
        token.delete()
        _record(
            actor, "token.revoke", token, token.tenant, {"name": token.name, "owner": token.user.username}
        )


def token_used(token: ApiToken) -> None:
    """Notes that the token was used; written at most once a minute."""
    stale = Q(last_used_at=None) | Q(last_used_at__lt=Now() - _USED_EVERY)
    ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=Now())


def _lasting(actor: Actor, days: int) -> timedelta:
    """As long as asked for, and no longer than the token that asks."""
    asked = timedelta(days=days)
    return asked if actor.expires_at is None else min(asked, actor.expires_at - datetime.now(UTC))


def _owner(actor: Actor) -> User:
    """The owner's row, locked so that the count of tokens holds."""
    user = User.objects.select_for_update(no_key=True).filter(pk=actor.user_id, is_active=True).first()
    if user is None:
        raise NotFound
    if ApiToken.objects.filter(user=user).count() >= _MOST_TOKENS:
        raise Conflict("TOO_MANY", f"There are {_MOST_TOKENS} tokens already. Revoke one that is not needed.")
    return user


def _within(actor: Actor, scopes: list[str] | None, tenant: str | UUID | None) -> None:
    """A token that makes tokens gives away nothing that it does not have itself."""
    if actor.tenant_id is not None and tenant is None:
        raise NeedsRole(
            "owner", granted_by="the owner, signed in or with a token that is not bound to a tenant"
        )
    if actor.scopes is None:
        return
    missing = [scope for scope in scopes or sorted(SCOPES) if not actor.has_scope(scope)]
    if missing:
        raise NeedsScope(missing[0])


def _days(days: object) -> int:
    if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= MOST_DAYS:
        raise Invalid.at("/expires_in_days", f"Must be a whole number from 1 to {MOST_DAYS}.")
    return days


def _scopes(scopes: Iterable[str] | None) -> list[str] | None:
    if scopes is None:
        return None
    wanted = list(scopes)
    if not wanted:
        raise Invalid.at("/scopes", "Name at least one scope, or leave the list out for all.")
    for index, scope in enumerate(wanted):
        if scope not in SCOPES:
            raise Invalid.at(f"/scopes/{index}", f"Use some of {', '.join(SCOPES)}.")
    return sorted(set(wanted))


def _record(
    actor: Actor, verb: str, token: ApiToken, tenant: Tenant | None, detail: Mapping[str, object]
) -> None:
    audit.record(actor=actor, verb=verb, target=f"token/{token.id}", tenant=tenant, detail=detail)
