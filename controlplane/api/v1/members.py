from typing import Any

from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.endpoint import Call, Endpoint, answer, operation
from controlplane.api.fields import Choice
from controlplane.api.pagination import Order, page
from controlplane.api.schema import page_shape
from controlplane.api.shapes import In, Out, PageQuery
from controlplane.api.v1.common import in_tenant, rfc3339
from tenants.access import allow
from tenants.models import Membership, Role
from tenants.selectors import member, members
from tenants.services import member_put, member_remove


class MemberIn(In):
    role = Choice(list(Role.values))


class MemberOut(Out):
    user = serializers.CharField()
    role = Choice(list(Role.values))
    since = serializers.DateTimeField()


def member_json(membership: Membership) -> dict[str, Any]:
    return {
        "user": membership.user.username,
        "role": membership.role,
        "since": rfc3339(membership.created_at),
    }


class Members(Endpoint):
    @operation("member.list", "Members of a tenant", {200: page_shape("Member", MemberOut)}, query=PageQuery)
    def get(self, call: Call, tenant: str) -> Response:
        access = call.enter(tenant)
        allow(access, "members.read")
        found = page(
            members(access.tenant),
            call.query,
            order=Order("user__username", str, newest_first=False),
            to_json=lambda rows: [member_json(row) for row in rows],
        )
        return answer(found)


class Member(Endpoint):
    @operation(
        "member.put",
        "Make somebody a member",
        {200: MemberOut},
        body=MemberIn,
        recheck=in_tenant("members.write"),
    )
    def put(self, call: Call, tenant: str, user: str) -> Response:
        """Or change the role. The last admin of a tenant stays one."""
        access = call.enter(tenant)
        member_put(access=access, username=user, role=call.body["role"])
        return answer(member_json(member(access.tenant, user)))

    @operation("member.remove", "Take somebody out", {204: None}, recheck=in_tenant("members.write"))
    def delete(self, call: Call, tenant: str, user: str) -> Response:
        """Their tokens for this tenant end; what they hold stays counted until it is released."""
        member_remove(access=call.enter(tenant), username=user)
        return answer(status=204)
