"""The pages of users, for site admins. Every change needs the admin's own password again."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse

from controlplane.console import words
from controlplane.console.account import (
    FORM_REFUSALS,
    READ_OR_POST,
    show_form,
    token_choices,
    token_form,
)
from controlplane.console.calls import Call
from controlplane.console.frame import ConsoleRequest, see_other, show, site_view
from tenants.errors import Invalid
from tenants.models import ApiToken, User
from tenants.selectors import belongings_of, held_by, user, users
from tenants.services import (
    password_confirm,
    password_reset,
    service_create,
    service_token_create,
    token_revoke,
    user_delete,
    user_disable,
    user_enable,
    user_invite,
    user_update,
)

PAGE: Final = 50
# The changes that a button makes at once. See words.USER_CHANGED.
CHANGES: Final[dict[str, Callable[..., User]]] = {
    "promote": partial(user_update, site_admin=True),
    "demote": partial(user_update, site_admin=False),
    "disable": user_disable,
    "enable": user_enable,
}


@site_view()
def all_users(request: ConsoleRequest) -> HttpResponse:
    found, after = users(request.actor), request.GET.get("after", "")
    if after.isprintable() and after:
        found = found.filter(username__gt=after)
    page = list(found[: PAGE + 1])
    context = {
        "rows": page[:PAGE],
        "first": bool(after),
        "next": f"?{urlencode({'after': page[PAGE - 1].username})}" if len(page) > PAGE else "",
    }
    return show(request, "users", context, calls=[Call("This list", "/users")])


@site_view(methods=READ_OR_POST)
def new_user(request: ConsoleRequest) -> HttpResponse:
    users(request.actor)  # raises for actors who are not site admins
    error = made = temporary = None
    if request.method == "POST":
        try:
            _confirm(request)
            made, temporary = _create(request)
        except FORM_REFUSALS as refusal:
            error = refusal
    calls = [
        Call("A new person", "/users", method="POST", body={"username": "bob"}),
        Call("A new service account", "/users", method="POST", body={"username": "ci", "kind": "service"}),
    ]
    context = {"made": made, "temporary": temporary, "form": request.POST}
    return show_form(request, "user_new", context, error, calls=calls, status=201 if made else 200)


@site_view(methods=READ_OR_POST)
def one_user(request: ConsoleRequest, name: str) -> HttpResponse:
    """One user. The button of a POST names the change."""
    found = user(request.actor, name)
    error = temporary = made = None
    if request.method == "POST":
        action = request.POST.get("action", "")
        try:
            _confirm(request)
            if action == "reset":
                found, temporary = password_reset(actor=request.actor, username=name)
            elif action == "token":
                made = service_token_create(actor=request.actor, username=name, **token_form(request))
            elif action in CHANGES:
                CHANGES[action](actor=request.actor, username=name)
                messages.success(request, words.USER_CHANGED[action].format(name))
                return see_other("console:user", name=name)
            else:
                raise Invalid(words.NO_BUTTON)
        except FORM_REFUSALS as refusal:
            error = refusal
    context = {"temporary": temporary, "made": made, **_facts(found), **token_choices(request, error)}
    return show_form(request, "user", context, error, calls=_calls(name), status=201 if made else 200)


@site_view(methods=READ_OR_POST)
def delete_user(request: ConsoleRequest, name: str) -> HttpResponse:
    found = user(request.actor, name)
    error = None
    if request.method == "POST":
        try:
            if request.POST.get("name", "").strip() != name:
                raise Invalid.at("/name", words.WRONG_USER_NAME.format(name))
            _confirm(request)
            user_delete(actor=request.actor, username=name)
        except FORM_REFUSALS as refusal:
            error = refusal
        else:
            messages.success(request, words.USER_DELETED.format(name))
            return see_other("console:users")
    calls = [Call("Delete the user", f"/users/{name}", method="DELETE")]
    return show_form(request, "user_delete", _facts(found), error, calls=calls)


@site_view(methods=("POST",))
def end_token(request: ConsoleRequest, name: str, token: UUID) -> HttpResponse:
    user(request.actor, name)
    token_revoke(actor=request.actor, token_id=token)
    messages.success(request, words.TOKEN_REVOKED)
    return see_other("console:user", name=name)


def _confirm(request: ConsoleRequest) -> None:
    password_confirm(actor=request.actor, password=request.POST.get("password", ""))


def _create(request: ConsoleRequest) -> tuple[User, str | None]:
    given: dict[str, Any] = {
        "actor": request.actor,
        "username": request.POST.get("username", "").strip(),
        "email": request.POST.get("email", "").strip(),
        "site_admin": request.POST.get("site_admin") == "yes",
    }
    return (service_create(**given), None) if request.POST.get("kind") == "service" else user_invite(**given)


def _facts(found: User) -> dict[str, Any]:
    memberships = belongings_of(found)
    return {
        "found": found,
        "memberships": memberships,
        "tenants": [{"name": one.tenant.name} for one in memberships],
        "left_alone": [one.tenant.name for one in memberships if one.is_last_admin],
        "clusters": list(held_by(found)),
        "tokens": list(ApiToken.objects.filter(user=found).select_related("tenant").order_by("-id")),
    }


def _calls(name: str) -> list[Call]:
    path = f"/users/{name}"
    return [
        Call("This user", path),
        Call("A temporary password", f"{path}:reset-password", method="POST", body={}),
        Call("Disable", f"{path}:disable", method="POST", body={}),
        Call("Enable", f"{path}:enable", method="POST", body={}),
    ]
