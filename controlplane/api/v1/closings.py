"""The plan of a change that removes rights: which links to pages it would replace."""

from collections.abc import Callable
from uuid import UUID

from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.endpoint import ApiCall, answer
from controlplane.api.shapes import Out
from controlplane.clusters import rights


class ClosingOut(Out):
    tenant = serializers.CharField()
    cluster = serializers.CharField()
    owner = serializers.CharField()
    pages = serializers.ListField(
        child=serializers.CharField(),
        help_text="Services whose links are replaced in a few seconds. Open pages close; kernels go on.",
    )


class ClosingsOut(Out):
    closes = ClosingOut(many=True)


class RightsPlanOut(Out):
    plan = ClosingsOut()


def is_plan(call: ApiCall) -> bool:
    return bool(call.query["validate_only"])


def rights_plan(change: Callable[[], object], *, username: str, tenant_id: UUID | None) -> Response:
    """The answer to `validate_only`. tenant_id: the one tenant where the user loses rights; None is all tenants."""
    found = rights.rehearse(change, username=username, tenant_id=tenant_id)
    closes = [
        {
            "tenant": closing.cluster.tenant.name,
            "cluster": closing.cluster.name,
            "owner": closing.cluster.owner.username,
            "pages": list(closing.pages),
        }
        for closing in found
    ]
    return answer({"plan": {"closes": closes}})
