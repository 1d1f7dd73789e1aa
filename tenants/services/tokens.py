from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from tenants import audit
from tenants.access import require_scope, require_site_admin, tenant_for
from tenants.actors import SCOPES, Actor, actor_for
from tenants.errors import Conflict, Invalid, NeedsRole, NeedsScope, NotFound
from tenants.models import ApiToken, Tenant, User
from tenants.names import validate_text
from tenants.services.accounts import account_lock

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
    """Makes a token for the actor and returns it with its secret, which is returned only here.

    tenant: name or id of the only tenant that it works in; None for all of the owner's. scopes: from SCOPES; None for
    all. A token that makes a token cannot give it more rights than it has. INVALID, NEEDS_SCOPE, NEEDS_ROLE,
    NOT_FOUND, TOO_MANY.
    """
    require_scope(actor, "tokens:write")
    wanted = _scopes(scopes)
    _check_rights(actor, wanted, tenant)
    bound = None if tenant is None else tenant_for(actor, tenant).tenant
    with transaction.atomic():
        user = User.objects.select_for_update(no_key=True).filter(pk=actor.user_id, is_active=True).first()
        if user is None:
            raise NotFound
        return _make(actor, user, name, bound, wanted, expires_in_days)


def service_token_create(
    *,
    actor: Actor,
    username: str,
    name: str,
    tenant: str | UUID | None = None,
    scopes: Iterable[str] | None = None,
    expires_in_days: int = 90,
) -> tuple[ApiToken, str]:
    """Makes a token for a service account, as token_create. For site admins. NOT_A_SERVICE, DISABLED."""
    require_site_admin(actor, "users:write")
    wanted = _scopes(scopes)
    _check_rights(actor, wanted, tenant)
    with transaction.atomic():
        user = account_lock(username)
        if not user.is_service:
            raise Conflict(
                "NOT_A_SERVICE", "People make their own tokens. Create a service account for a program."
            )
        if not user.is_active:
            raise Conflict("DISABLED", "This account is disabled. Enable it first.")
        try:
            bound = None if tenant is None else tenant_for(actor_for(user), tenant).tenant
        except NotFound:
            raise Invalid.at("/tenant", "The account is not a member of a tenant with this name.") from None
        return _make(actor, user, name, bound, wanted, expires_in_days)


def token_revoke(*, actor: Actor, token_id: UUID) -> None:
    """Deletes a token at once: the actor's own, or any for site admins. NOT_FOUND."""
    if not actor.has_scope("users:write"):
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
    """Records that the token was used, at most once a minute."""
    stale = Q(last_used_at=None) | Q(last_used_at__lt=Now() - _USED_EVERY)
    ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=Now())


def _make(
    actor: Actor, user: User, name: str, tenant: Tenant | None, scopes: list[str] | None, days: int
) -> tuple[ApiToken, str]:
    """Creates the token. The caller has locked the row of `user`, so that the count of tokens is exact."""
    text = validate_text(name, "/name", longest=100)
    if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= MOST_DAYS:
        raise Invalid.at("/expires_in_days", f"Must be a whole number from 1 to {MOST_DAYS}.")
    if ApiToken.objects.filter(user=user).count() >= _MOST_TOKENS:
        raise Conflict(
            "TOO_MANY", f"There are {_MOST_TOKENS} tokens already. Revoke one that is not needed any more."
        )
    expiry = timedelta(days=days)
    if actor.expires_at is not None:
        # A token that makes a token cannot outlive itself this way.
        expiry = min(expiry, actor.expires_at - datetime.now(UTC))
    token, secret = ApiToken.objects.create(  # type: ignore[no-untyped-call]
        user=user, expiry=expiry, name=text, tenant=tenant, scopes=scopes
    )
    detail = {"name": text, "scopes": scopes, "days": days}
    if user.pk != actor.user_id:
        detail["owner"] = user.username
    _record(actor, "token.create", token, tenant, detail)
    return token, secret


def _check_rights(actor: Actor, scopes: list[str] | None, tenant: str | UUID | None) -> None:
    """Raises NeedsRole or NeedsScope if the new token would have rights that the actor's own token lacks."""
    if actor.tenant_id is not None and tenant is None:
        raise NeedsRole(
            "owner", granted_by="the owner, signed in or with a token that is not bound to a tenant"
        )
    if actor.scopes is None:
        return
    missing = [scope for scope in scopes or sorted(SCOPES) if not actor.has_scope(scope)]
    if missing:
        raise NeedsScope(missing[0])


def _scopes(scopes: Iterable[str] | None) -> list[str] | None:
    """The scopes sorted and without duplicates. Raises Invalid."""
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
