"""The plan of a change that takes rights away: whose links it would replace."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.endpoint import Call, answer
from controlplane.api.shapes import Out
from controlplane.clusters import rights


class ClosingOut(Out):
    tenant = serializers.CharField()
    cluster = serializers.CharField()
    owner = serializers.CharField()
    pages = serializers.ListField(
        child=serializers.CharField(),
        help_text="Services whose links are replaced within seconds. What they had opened is closed; kernels go on.",
    )


class ClosingsOut(Out):
    closes = ClosingOut(many=True)


class RightsPlanOut(Out):
    plan = ClosingsOut()


def is_plan(call: Call) -> bool:
    return bool(call.query["validate_only"])


def rights_plan(change: Callable[[], object], *, username: str, tenant_id: UUID | None) -> Response:
    """The answer to `validate_only` for a change of this user's rights in one tenant, or (None) in all."""
    found = rights.rehearse(change, username=username, tenant_id=tenant_id)
    return answer({"plan": {"closes": [_closing_json(one) for one in found]}})


def _closing_json(one: rights.Closing) -> dict[str, Any]:
    cluster = one.cluster
    return {
        "tenant": cluster.tenant.name,
        "cluster": cluster.name,
        "owner": cluster.owner.username,
        "pages": list(one.pages),
    }
