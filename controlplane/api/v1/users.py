from typing import Any

from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.endpoint import Call, Endpoint, answer, operation
from controlplane.api.fields import Flag, Text, Username
from controlplane.api.pagination import Order, page
from controlplane.api.schema import page_shape
from controlplane.api.shapes import In, Out, PageQuery
from controlplane.api.v1.common import as_site_admin, rfc3339
from tenants.models import User
from tenants.selectors import users
from tenants.services import user_create


class UserIn(In):
    username = Username()
    password = Text(most=1000, least=1, write_only=True)
    email = Text(most=254, default="")
    site_admin = Flag(default=False)


class UserOut(Out):
    username = serializers.CharField()
    email = serializers.CharField(allow_blank=True)
    site_admin = serializers.BooleanField()
    active = serializers.BooleanField()
    created_at = serializers.DateTimeField()


def user_json(user: User) -> dict[str, Any]:
    return {
        "username": user.username,
        "email": user.email,
        "site_admin": user.is_superuser,
        "active": user.is_active,
        "created_at": rfc3339(user.date_joined),
    }


class Users(Endpoint):
    @operation("user.list", "All users", {200: page_shape("User", UserOut)}, query=PageQuery)
    def get(self, call: Call) -> Response:
        """For site admins."""
        order = Order("username", str, newest_first=False)
        found = page(
            users(call.actor), call.query, order=order, to_json=lambda rows: [user_json(row) for row in rows]
        )
        return answer(found)

    @operation("user.create", "Create a user", {201: UserOut}, body=UserIn, recheck=as_site_admin)
    def post(self, call: Call) -> Response:
        """Somebody who can sign in; in no tenant yet. For site admins."""
        return answer(user_json(user_create(actor=call.actor, **call.body)), status=201)
