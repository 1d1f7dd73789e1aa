from functools import partial
from typing import Any

from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.endpoint import ApiCall, Endpoint, answer, method
from controlplane.api.fields import Choice
from controlplane.api.openapi import page_shape
from controlplane.api.pagination import Order, page
from controlplane.api.shapes import In, Out, PageQuery
from controlplane.api.v1.closings import RightsPlanOut, is_plan, rights_plan
from controlplane.api.v1.common import PlanQuery, in_tenant, rfc3339
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
    @method("member.list", "Members of a tenant", {200: page_shape("Member", MemberOut)}, query=PageQuery)
    def get(self, call: ApiCall, tenant: str) -> Response:
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
    @method(
        "member.put",
        "Make a user a member",
        {200: MemberOut},
        body=MemberIn,
        recheck=in_tenant("members.write"),
    )
    def put(self, call: ApiCall, tenant: str, user: str) -> Response:
        """Or change the role. The last admin of a tenant stays one.

        A viewer may not open pages: all links that a user had before are replaced.
        """
        access = call.enter(tenant)
        member_put(access=access, username=user, role=call.body["role"])
        return answer(member_json(member(access.tenant, user)))

    @method(
        "member.remove",
        "Remove a member",
        {204: None, 200: RightsPlanOut},
        query=PlanQuery,
        recheck=in_tenant("members.write"),
        skip_key=is_plan,
    )
    def delete(self, call: ApiCall, tenant: str, user: str) -> Response:
        """Their tokens for this tenant end, and the links to all pages that they could open are replaced.

        Their clusters run on, and count until an admin stops or deletes them.
        """
        access = call.enter(tenant)
        change = partial(member_remove, access=access, username=user)
        if is_plan(call):
            return rights_plan(change, username=user, tenant_id=access.tenant.pk)
        change()
        return answer(status=204)
