from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.endpoint import Call, Endpoint, answer, operation
from controlplane.api.fields import Choice
from controlplane.api.shapes import Out
from tenants.models import Role
from tenants.selectors import roles_of


class MyTenantOut(Out):
    name = serializers.CharField()
    role = Choice(list(Role.values))


class MeOut(Out):
    user = serializers.CharField()
    site_admin = serializers.BooleanField()
    tenants = MyTenantOut(many=True)


class Me(Endpoint):
    @operation("me.read", "Who I am", {200: MeOut})
    def get(self, call: Call) -> Response:
        """The token's owner and the tenants it may enter, with the role in each."""
        actor = call.actor
        mine = {"user": actor.username, "site_admin": actor.above_tenants, "tenants": roles_of(actor)}
        return answer(mine)
