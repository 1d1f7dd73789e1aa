"""The pages of the user's own account: password, sessions and API tokens."""

from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.http import HttpResponse, QueryDict

from controlplane.console import words
from controlplane.console.calls import Call
from controlplane.console.frame import READ, ConsoleRequest, refusal_text, see_other, show, site_view
from tenants.actors import SCOPES
from tenants.errors import Conflict, Invalid, Refused, TooManyAttempts
from tenants.selectors import roles_of, tokens_of
from tenants.services import password_change, password_confirm, sessions_end, token_create, token_revoke

READ_OR_POST: Final = (*READ, "POST")
# The refusals that a page shows above its form. Others get an error page.
FORM_REFUSALS: Final = (Invalid, Conflict, TooManyAttempts)
DAYS: Final = (7, 30, 90, 365)
MOST_TOKENS: Final = 200


@site_view(methods=READ_OR_POST, for_temporary=True)
def account(request: ConsoleRequest) -> HttpResponse:
    """The account. A POST changes the password, which ends all other sessions and all tokens."""
    error = None
    if request.method == "POST":
        try:
            new = request.POST.get("new", "")
            if new != request.POST.get("again", ""):
                raise Invalid.at("/again", words.PASSWORDS_DIFFER)
            current = request.POST.get("current", "")
            update_session_auth_hash(request, password_change(actor=request.actor, current=current, new=new))
        except FORM_REFUSALS as refusal:
            error = refusal
        else:
            messages.success(request, words.PASSWORD_CHANGED)
            return see_other("console:account")
    context = {
        "is_temporary": request.user.password_temporary_until is not None,
        "roles": roles_of(request.actor),
        "tokens": tokens_of(request.actor).count(),
    }
    return show_form(request, "account", context, error)


@site_view(methods=("POST",))
def sign_out_everywhere(request: ConsoleRequest) -> HttpResponse:
    update_session_auth_hash(request, sessions_end(actor=request.actor))
    messages.success(request, words.SESSIONS_ENDED)
    return see_other("console:account")


@site_view(methods=READ_OR_POST)
def tokens(request: ConsoleRequest) -> HttpResponse:
    """The user's tokens. A POST makes one; only its answer contains the secret."""
    error = made = None
    if request.method == "POST":
        try:
            password_confirm(actor=request.actor, password=request.POST.get("password", ""))
            made = token_create(actor=request.actor, **token_form(request))
        except FORM_REFUSALS as refusal:
            error = refusal
    context = {
        "rows": list(tokens_of(request.actor).order_by("-id")[:MOST_TOKENS]),
        "made": made,
        "tenants": roles_of(request.actor),
        **token_choices(request, error),
    }
    calls = [
        Call("My tokens", "/tokens"),
        Call(
            "A new token, with your password",
            "/tokens",
            method="POST",
            body={"name": "laptop", "expires_in_days": 90},
            user=request.actor.username,
        ),
    ]
    return show_form(request, "tokens", context, error, calls=calls, status=201 if made else 200)


@site_view(methods=("POST",))
def token_end(request: ConsoleRequest, token: UUID) -> HttpResponse:
    token_revoke(actor=request.actor, token_id=token)
    messages.success(request, words.TOKEN_REVOKED)
    return see_other("console:tokens")


def token_form(request: ConsoleRequest) -> dict[str, Any]:
    """The form of a new token as arguments of token_create."""
    given = request.POST
    days = given.get("days", "")
    return {
        "name": given.get("name", ""),
        "tenant": given.get("tenant") or None,
        "scopes": given.getlist("scopes") if given.get("reach") == "some" else None,
        "expires_in_days": int(days) if days in map(str, DAYS) else 90,
    }


def token_choices(request: ConsoleRequest, error: Refused | None) -> dict[str, Any]:
    """The choices of the form of a new token, with the values that were sent if they were refused."""
    given = request.POST if error else QueryDict()
    return {"days": DAYS, "scopes": SCOPES, "chosen": given.getlist("scopes"), "form": given}


def show_form(
    request: ConsoleRequest,
    name: str,
    context: dict[str, Any],
    error: Refused | None,
    *,
    calls: list[Call] | None = None,
    status: int = 200,
) -> HttpResponse:
    """The page of a form, with the refusal above it if there is one."""
    shown = {**context, "error": refusal_text(error) if error else ""}
    return show(request, name, shown, calls=calls or [], status=error.status if error else status)
