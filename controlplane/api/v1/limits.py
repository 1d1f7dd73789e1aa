from typing import Any

from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.endpoint import Call, Endpoint, answer, operation
from controlplane.api.fields import QUANTITIES, Choice, Quantity, Tree, nullable
from controlplane.api.shapes import In, Out
from controlplane.api.v1.common import in_tenant
from tenants.amounts import RESOURCES, parse_limits
from tenants.errors import Invalid
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
    """over: of what more is held than the limit allows now. Nothing is taken away, but nothing may grow."""

    limits = LevelOut(many=True)
    over = OverOut(many=True)


class TenantLimits(Endpoint):
    @operation(
        "limits.put",
        "Set limits of a tenant",
        {200: LimitsOut},
        body=LimitsIn,
        recheck=in_tenant("tenant.write_limits"),
    )
    def put(self, call: Call, tenant: str) -> Response:
        """For site admins. Lower than what is held is accepted: `over` then says by how much."""
        return _put(call, tenant, None)


class MemberLimits(Endpoint):
    @operation(
        "limits.put_member",
        "Set limits of a member",
        {200: LimitsOut},
        body=LimitsIn,
        recheck=in_tenant("member_limits.write"),
    )
    def put(self, call: Call, tenant: str, user: str) -> Response:
        """For admins of the tenant. A member never holds more than the tenant may in all."""
        return _put(call, tenant, user)


def _put(call: Call, tenant: str, user: str | None) -> Response:
    done = limits_put(access=call.enter(tenant), limits=call.body, username=user)
    return answer({"limits": done.limits, "over": done.over})
