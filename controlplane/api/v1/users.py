from collections.abc import Callable
from typing import Any

from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.endpoint import ApiCall, Endpoint, answer, method
from controlplane.api.fields import Choice, Flag, Text, Username
from controlplane.api.openapi import page_shape
from controlplane.api.pagination import Order, page
from controlplane.api.shapes import In, Out, PageQuery
from controlplane.api.v1.common import ROOT, as_user_admin, rfc3339
from controlplane.api.v1.tokens import NewTokenOut, TokenIn, TokenOut, token_json, without_secret
from tenants.errors import Invalid
from tenants.models import ApiToken, Role, User
from tenants.selectors import belongings_of, held_by, user, users
from tenants.services import (
    password_reset,
    service_create,
    service_token_create,
    user_create,
    user_delete,
    user_disable,
    user_enable,
    user_invite,
    user_update,
)

KINDS = ["person", "service"]


class UserIn(In):
    username = Username()
    password = Text(
        most=1000,
        least=1,
        required=False,
        write_only=True,
        help_text="Of a person. Nothing: a temporary one is made and answered this once.",
    )
    email = Text(most=254, default="")
    site_admin = Flag(default=False)
    kind = Choice(
        KINDS, default="person", help_text="service: the account of a program, with tokens and no password."
    )


class UserPutIn(In):
    """The named fields change, the others stay."""

    not_empty = True

    email = Text(most=254, required=False)
    site_admin = Flag(required=False)


class UserOut(Out):
    username = serializers.CharField()
    email = serializers.CharField(allow_blank=True)
    kind = Choice(KINDS)
    site_admin = serializers.BooleanField()
    active = serializers.BooleanField()
    created_at = serializers.DateTimeField()


class TemporaryOut(Out):
    temporary_password = serializers.CharField(
        allow_null=True,
        help_text="To be changed at the first sign-in. Shown this once; null when the answer is repeated.",
    )
    temporary_until = serializers.DateTimeField(allow_null=True)


class NewUserOut(UserOut, TemporaryOut):
    pass


class UserTenantOut(Out):
    name = serializers.CharField()
    role = Choice(list(Role.values))
    last_admin = serializers.BooleanField(help_text="Without this user the tenant has no admin.")


class UserClusterOut(Out):
    tenant = serializers.CharField()
    cluster = serializers.CharField()


class OneUserOut(UserOut):
    """With what disabling or deleting the user would end (memberships and tokens) and would not end (clusters)."""

    tenants = UserTenantOut(many=True)
    clusters = UserClusterOut(many=True)
    tokens = serializers.IntegerField()


def user_json(found: User) -> dict[str, Any]:
    return {
        "username": found.username,
        "email": found.email,
        "kind": "service" if found.is_service else "person",
        "site_admin": found.is_superuser,
        "active": found.is_active,
        "created_at": rfc3339(found.date_joined),
    }


def _one_json(found: User) -> dict[str, Any]:
    return user_json(found) | {
        "tenants": [
            {"name": one.tenant.name, "role": one.role, "last_admin": one.is_last_admin}
            for one in belongings_of(found)
        ],
        "clusters": [{"tenant": claim.tenant.name, "cluster": claim.label} for claim in held_by(found)],
        "tokens": ApiToken.objects.filter(user=found).count(),
    }


def _temporary_json(found: User, password: str | None) -> dict[str, Any]:
    until = rfc3339(found.password_temporary_until)
    return {"temporary_password": password, "temporary_until": until}


def _without_password(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "temporary_password": None}


class Users(Endpoint):
    @method("user.list", "All users", {200: page_shape("User", UserOut)}, query=PageQuery)
    def get(self, call: ApiCall) -> Response:
        """For site admins. Deleted ones are not there."""
        order = Order("username", str, newest_first=False)
        found = page(
            users(call.actor), call.query, order=order, to_json=lambda rows: [user_json(row) for row in rows]
        )
        return answer(found)

    @method(
        "user.create",
        "Create a user",
        {201: NewUserOut},
        body=UserIn,
        recheck=as_user_admin,
        redact=_without_password,
    )
    def post(self, call: ApiCall) -> Response:
        """A person who can sign in, or the account of a program; in no tenant yet. For site admins."""
        made, temporary = _create(call)
        return answer(user_json(made) | _temporary_json(made, temporary), status=201)


def _create(call: ApiCall) -> tuple[User, str | None]:
    body = {name: value for name, value in call.body.items() if name != "kind"}
    if call.body["kind"] == "service":
        if "password" in body:
            raise Invalid.at("/password", "A service account has no password. Leave it out.")
        return service_create(actor=call.actor, **body), None
    if "password" in body:
        return user_create(actor=call.actor, **body), None
    return user_invite(actor=call.actor, **body)


class OneUser(Endpoint):
    @method("user.read", "One user", {200: OneUserOut})
    def get(self, call: ApiCall, user: str) -> Response:
        """With the tenants, clusters and tokens of the user. For site admins."""
        return answer(_one_json(_find(call, user)))

    @method("user.put", "Change a user", {200: UserOut}, body=UserPutIn, recheck=as_user_admin)
    def put(self, call: ApiCall, user: str) -> Response:
        """For site admins. The last site admin stays one."""
        return answer(user_json(user_update(actor=call.actor, username=user, **call.body)))

    @method("user.delete", "Delete a user", {204: None}, recheck=as_user_admin)
    def delete(self, call: ApiCall, user: str) -> Response:
        """Sessions, tokens and memberships end at once, and the name is not given again. Clusters run on, counted
        for the user, until an admin of the tenant stops them. For site admins.
        """
        user_delete(actor=call.actor, username=user)
        return answer(status=204)


class UserDisable(Endpoint):
    @method("user.disable", "Disable a user", {200: UserOut}, recheck=as_user_admin)
    def post(self, call: ApiCall, user: str) -> Response:
        """Sessions and tokens end at once. Memberships stay and clusters run on: admins of the tenants can stop
        them. For site admins.
        """
        return _done(call, user_disable, user)


class UserEnable(Endpoint):
    @method("user.enable", "Enable a user again", {200: UserOut}, recheck=as_user_admin)
    def post(self, call: ApiCall, user: str) -> Response:
        """With the password of before. Tokens are to be made anew. For site admins."""
        return _done(call, user_enable, user)


class UserResetPassword(Endpoint):
    @method(
        "user.reset_password",
        "Give a user a temporary password",
        {200: TemporaryOut},
        recheck=as_user_admin,
        redact=_without_password,
    )
    def post(self, call: ApiCall, user: str) -> Response:
        """It must be changed at the first sign-in. Sessions and tokens of before end. For site admins."""
        found, password = password_reset(actor=call.actor, username=user)
        return answer(_temporary_json(found, password))


class UserTokens(Endpoint):
    @method("user.list_tokens", "Tokens of a user", {200: page_shape("Token", TokenOut)}, query=PageQuery)
    def get(self, call: ApiCall, user: str) -> Response:
        """For site admins, who can revoke them."""
        tokens = _find(call, user).auth_token_set.select_related("tenant")
        listed = page(
            tokens, call.query, order=Order(), to_json=lambda rows: [token_json(row) for row in rows]
        )
        return answer(listed)

    @method(
        "user.create_token",
        "Make a token of a service account",
        {201: NewTokenOut},
        body=TokenIn,
        location=True,
        recheck=as_user_admin,
        redact=without_secret,
    )
    def post(self, call: ApiCall, user: str) -> Response:
        """For site admins. The secret is shown this once and stored nowhere."""
        made, secret = service_token_create(actor=call.actor, username=user, **call.body)
        return answer(token_json(made) | {"token": secret}, status=201, location=f"{ROOT}/tokens/{made.id}")


def _find(call: ApiCall, username: str) -> User:
    return user(call.actor, username)


def _done(call: ApiCall, service: Callable[..., User], username: str) -> Response:
    return answer(user_json(service(actor=call.actor, username=username)))
