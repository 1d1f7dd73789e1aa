from typing import Any

from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.authentication import PasswordAuthentication
from controlplane.api.endpoint import ApiCall, Endpoint, answer, method
from controlplane.api.fields import NAME_SCHEMA, Choice, Items, Text, Whole
from controlplane.api.openapi import page_shape
from controlplane.api.pagination import Order, page
from controlplane.api.shapes import In, Out, PageQuery
from controlplane.api.v1.common import ROOT, id_of, rfc3339
from tenants.access import require_scope
from tenants.actors import SCOPES
from tenants.models import ApiToken
from tenants.selectors import token as token_for
from tenants.selectors import tokens_of
from tenants.services import token_create, token_revoke


class TokenIn(In):
    name = Text(most=100, least=1)
    tenant = Text(
        most=40, required=False, allow_null=True, schema=NAME_SCHEMA, help_text="Bind it to this one."
    )
    scopes = Items(
        child=Choice(list(SCOPES)),
        min_length=1,
        max_length=50,
        required=False,
        allow_null=True,
        help_text="Nothing: all.",
    )
    expires_in_days = Whole(least=1, most=365, default=90)


class TokenOut(Out):
    id = serializers.UUIDField()
    name = serializers.CharField()
    tenant = serializers.CharField(allow_null=True)
    scopes = serializers.ListField(child=serializers.CharField(), allow_null=True)
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)


class NewTokenOut(TokenOut):
    token = serializers.CharField(
        allow_null=True, help_text="The secret, this once; null when the answer is repeated for its key."
    )


def token_json(found: ApiToken) -> dict[str, Any]:
    return {
        "id": str(found.id),
        "name": found.name,
        "tenant": found.tenant.name if found.tenant else None,
        "scopes": found.scopes,
        "created_at": rfc3339(found.created),
        "expires_at": rfc3339(found.expiry),
        "last_used_at": rfc3339(found.last_used_at),
    }


def without_secret(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "token": None}


class Tokens(Endpoint):
    authentication_classes = [PasswordAuthentication]

    @method("token.list", "My tokens", {200: page_shape("Token", TokenOut)}, query=PageQuery)
    def get(self, call: ApiCall) -> Response:
        found = page(
            tokens_of(call.actor),
            call.query,
            order=Order(),
            to_json=lambda rows: [token_json(row) for row in rows],
        )
        return answer(found)

    @method(
        "token.create",
        "Make a token of my own",
        {201: NewTokenOut},
        body=TokenIn,
        location=True,
        recheck=lambda call, path: require_scope(call.actor, "tokens:write"),
        redact=without_secret,
    )
    def post(self, call: ApiCall) -> Response:
        """It can do no more than the token that makes it. The first one is made with name and password
        (`curl -u alice`), or on the page API tokens of the console. The secret is shown this once and stored
        nowhere.
        """
        made, secret = token_create(actor=call.actor, **call.body)
        return answer(token_json(made) | {"token": secret}, status=201, location=f"{ROOT}/tokens/{made.id}")


class Token(Endpoint):
    @method("token.read", "One of my tokens", {200: TokenOut})
    def get(self, call: ApiCall, token: str) -> Response:
        return answer(token_json(token_for(call.actor, id_of(token))))

    @method("token.revoke", "Revoke a token at once", {204: None})
    def delete(self, call: ApiCall, token: str) -> Response:
        """Of the user's own; site admins may revoke any token."""
        token_revoke(actor=call.actor, token_id=id_of(token))
        return answer(status=204)
