from typing import Any

from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.endpoint import ApiCall, Endpoint, answer, method
from controlplane.api.fields import Choice, Name, Text
from controlplane.api.openapi import page_shape
from controlplane.api.pagination import Order, page
from controlplane.api.shapes import In, Out, PageQuery
from controlplane.api.v1.common import ROOT, as_site_admin, in_tenant, rfc3339
from controlplane.api.v1.limits import LimitsField
from tenants.access import allow, require_scope
from tenants.models import Role, Tenant, TenantState
from tenants.selectors import tenants_of
from tenants.services import tenant_create, tenant_delete, tenant_resume, tenant_suspend


class TenantIn(In):
    name = Name()
    display_name = Text(most=200, default="")
    limits = LimitsField(default=dict, help_text="What is not named, or null, is unlimited.")


class TenantOut(Out):
    id = serializers.UUIDField()
    name = serializers.CharField()
    display_name = serializers.CharField(allow_blank=True)
    state = Choice(list(TenantState.values))
    role = Choice(list(Role.values), allow_null=True, help_text="The asker's; null: as site admin.")
    created_at = serializers.DateTimeField()


def tenant_json(tenant: Tenant, role: str | None) -> dict[str, Any]:
    return {
        "id": str(tenant.pk),
        "name": tenant.name,
        "display_name": tenant.display_name,
        "state": tenant.state,
        "role": role,
        "created_at": rfc3339(tenant.created_at),
    }


def _role(tenant: Any) -> str | None:
    role: str | None = tenant.asker_role
    return role


class Tenants(Endpoint):
    @method(
        "tenant.list", "Tenants that I may enter", {200: page_shape("Tenant", TenantOut)}, query=PageQuery
    )
    def get(self, call: ApiCall) -> Response:
        require_scope(call.actor, "tenants:read")
        found = page(
            tenants_of(call.actor),
            call.query,
            order=Order("name", str, newest_first=False),
            to_json=lambda rows: [tenant_json(row, _role(row)) for row in rows],
        )
        return answer(found)

    @method(
        "tenant.create",
        "Create a tenant",
        {201: TenantOut},
        body=TenantIn,
        location=True,
        recheck=as_site_admin,
    )
    def post(self, call: ApiCall) -> Response:
        """Without members. For site admins."""
        tenant = tenant_create(actor=call.actor, **call.body)
        tenant.refresh_from_db(fields=["created_at"])
        return answer(tenant_json(tenant, None), status=201, location=f"{ROOT}/tenants/{tenant.pk}")


class OneTenant(Endpoint):
    @method("tenant.read", "A tenant", {200: TenantOut})
    def get(self, call: ApiCall, tenant: str) -> Response:
        access = call.enter(tenant)
        allow(access, "tenant.read")
        return answer(tenant_json(access.tenant, access.role))

    @method("tenant.delete", "Delete a tenant", {202: TenantOut}, recheck=in_tenant("tenant.write"))
    def delete(self, call: ApiCall, tenant: str) -> Response:
        """All its clusters and their data too; this cannot be undone. Its name is free once everything is removed."""
        access = call.enter(tenant)
        return answer(tenant_json(tenant_delete(access=access), access.role), status=202)


class TenantSuspend(Endpoint):
    @method("tenant.suspend", "Suspend a tenant", {200: TenantOut}, recheck=in_tenant("tenant.write"))
    def post(self, call: ApiCall, tenant: str) -> Response:
        """Its clusters stop, and nothing starts until it is resumed. What was wanted is kept."""
        access = call.enter(tenant)
        return answer(tenant_json(tenant_suspend(access=access), access.role))


class TenantResume(Endpoint):
    @method("tenant.resume", "Resume a tenant", {200: TenantOut}, recheck=in_tenant("tenant.write"))
    def post(self, call: ApiCall, tenant: str) -> Response:
        access = call.enter(tenant)
        return answer(tenant_json(tenant_resume(access=access), access.role))
