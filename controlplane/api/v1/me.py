from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.endpoint import ApiCall, Endpoint, answer, method
from controlplane.api.fields import Choice, Text
from controlplane.api.shapes import In, Out
from tenants.models import ApiToken, Role
from tenants.selectors import roles_of
from tenants.services import password_change, sessions_end


class MyTenantOut(Out):
    name = serializers.CharField()
    role = Choice(list(Role.values))


class MeOut(Out):
    user = serializers.CharField()
    site_admin = serializers.BooleanField()
    tenants = MyTenantOut(many=True)


class PasswordIn(In):
    current_password = Text(most=1000, least=1, write_only=True)
    new_password = Text(most=1000, least=1, write_only=True)


class Me(Endpoint):
    @method("me.read", "Who I am", {200: MeOut})
    def get(self, call: ApiCall) -> Response:
        """The token's owner and the tenants it may enter, with the role in each."""
        actor = call.actor
        mine = {"user": actor.username, "site_admin": actor.above_tenants, "tenants": roles_of(actor)}
        return answer(mine)


class MyPassword(Endpoint):
    # Ignores the key, because the rollback of a keyed request would undo the count of wrong passwords.
    @method(
        "me.change_password", "Change my password", {204: None}, body=PasswordIn, skip_key=lambda call: True
    )
    def put(self, call: ApiCall) -> Response:
        """Ends all sessions of the console, and all tokens but the one that asks."""
        current, new = call.body["current_password"], call.body["new_password"]
        keep: ApiToken = call.request.auth  # type: ignore[assignment]
        password_change(actor=call.actor, current=current, new=new, keep=keep.id)
        return answer(status=204)


class EndSessions(Endpoint):
    @method("me.end_sessions", "Sign out everywhere", {204: None})
    def post(self, call: ApiCall) -> Response:
        """Ends all my sessions of the console. Tokens stay."""
        sessions_end(actor=call.actor)
        return answer(status=204)
