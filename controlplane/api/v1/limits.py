from typing import Any

from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.endpoint import ApiCall, Endpoint, answer, method
from controlplane.api.fields import QUANTITIES, Choice, Quantity, Tree, nullable
from controlplane.api.openapi import page_shape
from controlplane.api.pagination import Order, page
from controlplane.api.shapes import In, Out, PageQuery
from controlplane.api.v1.common import in_tenant
from tenants.access import allow
from tenants.amounts import RESOURCES, parse_limits
from tenants.errors import Invalid
from tenants.models import Limit
from tenants.quota import limit_json, over_json
from tenants.selectors import limits, member
from tenants.services import limits_put

_LIMITS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {resource: nullable(QUANTITIES[resource]) for resource in RESOURCES},
}


class LimitsField(Tree):
    """Limits by resource; null: unlimited."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(schema=_LIMITS, **kwargs)

    def to_internal_value(self, data: Any) -> Any:
        try:
            return parse_limits(data)
        except Invalid as refusal:
            found = {error["pointer"].removeprefix("/"): [error["detail"]] for error in refusal.errors}
            raise serializers.ValidationError(found.get("") or found) from None


class LimitsIn(In):
    """The named resources change, the others stay. null: unlimited."""

    not_empty = True

    cpu = Quantity("cpu", required=False, allow_null=True)
    memory = Quantity("memory", required=False, allow_null=True)
    gpu = Quantity("gpu", required=False, allow_null=True)
    storage = Quantity("storage", required=False, allow_null=True)
    clusters = Quantity("clusters", required=False, allow_null=True)


_SHOWN = {"oneOf": [{"type": "string"}, {"type": "integer"}]}


class LevelOut(Out):
    resource = Choice([str(name) for name in RESOURCES])
    scope = Choice(["tenant", "member"])
    limit = Tree(schema=nullable(_SHOWN), help_text="null: unlimited.")
    held = Tree(schema=_SHOWN)
    free = Tree(schema=nullable(_SHOWN))


class OverOut(Out):
    resource = serializers.CharField()
    scope = serializers.CharField()
    limit = Tree(schema=_SHOWN)
    held = Tree(schema=_SHOWN)
    over_by = Tree(schema=_SHOWN)


class LimitsOut(Out):
    """over: the resources of which more is held than the limit allows. Nothing is stopped, but nothing may grow."""

    limits = LevelOut(many=True)
    over = OverOut(many=True)


class MemberLimitsOut(LimitsOut):
    user = serializers.CharField()


class TenantLimits(Endpoint):
    @method("limits.read", "Limits of a tenant", {200: LimitsOut})
    def get(self, call: ApiCall, tenant: str) -> Response:
        access = call.enter(tenant)
        allow(access, "tenant.read")
        return answer(_limits_json(limits(access.tenant).get(user=None)))

    @method(
        "limits.put",
        "Set limits of a tenant",
        {200: LimitsOut},
        body=LimitsIn,
        recheck=in_tenant("tenant.write_limits"),
    )
    def put(self, call: ApiCall, tenant: str) -> Response:
        """For site admins. Lower than what is held is accepted: `over` then says by how much."""
        return _put(call, tenant, None)


class AllMemberLimits(Endpoint):
    @method(
        "limits.list_members",
        "Limits of all members",
        {200: page_shape("MemberLimits", MemberLimitsOut)},
        query=PageQuery,
    )
    def get(self, call: ApiCall, tenant: str) -> Response:
        """Also of former members, as long as they hold something."""
        access = call.enter(tenant)
        allow(access, "members.read")
        found = page(
            limits(access.tenant).exclude(user=None),
            call.query,
            order=Order("user__username", str, newest_first=False),
            to_json=lambda rows: [
                _limits_json(row) | {"user": row.user.username if row.user else ""} for row in rows
            ],
        )
        return answer(found)


class MemberLimits(Endpoint):
    @method("limits.read_member", "Limits of a member", {200: LimitsOut})
    def get(self, call: ApiCall, tenant: str, user: str) -> Response:
        access = call.enter(tenant)
        allow(access, "members.read")
        membership = member(access.tenant, user)
        return answer(_limits_json(limits(access.tenant).get(user=membership.user)))

    @method(
        "limits.put_member",
        "Set limits of a member",
        {200: LimitsOut},
        body=LimitsIn,
        recheck=in_tenant("member_limits.write"),
    )
    def put(self, call: ApiCall, tenant: str, user: str) -> Response:
        """For admins of the tenant. A member never holds more than the tenant may in all."""
        return _put(call, tenant, user)


def _limits_json(row: Limit) -> dict[str, Any]:
    return {"limits": limit_json(row), "over": over_json(row)}


def _put(call: ApiCall, tenant: str, user: str | None) -> Response:
    done = limits_put(access=call.enter(tenant), limits=call.body, username=user)
    return answer({"limits": done.limits, "over": done.over})
