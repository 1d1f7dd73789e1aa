from dataclasses import asdict

from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.endpoint import ApiCall, Endpoint, answer, method
from controlplane.api.shapes import Out
from controlplane.api.v1.common import AmountsOut
from controlplane.api.v1.limits import LevelOut
from tenants.access import allow
from tenants.selectors import usage


class HolderOut(Out):
    owner = serializers.CharField(help_text="User name.")
    cluster = serializers.CharField()
    cluster_id = serializers.UUIDField()
    site = serializers.CharField()
    holds = AmountsOut()


class UsageOut(Out):
    limits = LevelOut(many=True)
    holders = HolderOut(many=True)


class TenantUsage(Endpoint):
    @method("usage.read", "What may be held, what is held, and by whom", {200: UsageOut})
    def get(self, call: ApiCall, tenant: str) -> Response:
        """The limits of the tenant, and of the user in it. At most 500 holders."""
        access = call.enter(tenant)
        allow(access, "tenant.read")
        return answer(asdict(usage(access.tenant, call.actor.user_id)))
