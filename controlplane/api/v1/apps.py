from typing import Any

from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.endpoint import ApiCall, Endpoint, answer, method
from controlplane.api.fields import Choice
from controlplane.api.openapi import page_shape
from controlplane.api.pagination import Order, page
from controlplane.api.shapes import Out, PageQuery
from controlplane.api.v1.common import AmountsOut
from templates import schema
from templates.parsing import amounts_body
from templates.selectors import apps
from tenants.access import require_scope


class AppServiceOut(Out):
    name = serializers.CharField()
    role = serializers.CharField()
    port = serializers.IntegerField()
    scheme = Choice(["http", "tcp"])
    dashboard = serializers.BooleanField()


class RoleOut(Out):
    name = serializers.CharField()
    title = serializers.CharField()
    min_count = serializers.IntegerField()
    max_count = serializers.IntegerField()
    critical = serializers.BooleanField()
    when = serializers.CharField(allow_null=True, help_text="The setting that turns the role on.")
    minimum = AmountsOut()
    default = AmountsOut()


class AppOut(Out):
    name = serializers.CharField()
    version = serializers.CharField()
    title = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    roles = RoleOut(many=True)
    services = AppServiceOut(many=True)
    settings = serializers.DictField(help_text="JSON Schema of each.")


def app_json(app: schema.App) -> dict[str, Any]:
    return {
        "name": app.name,
        "version": app.version,
        "title": app.title,
        "description": app.description,
        "roles": [_role(role) for role in app.roles],
        "services": [_service(role, service) for role in app.roles for service in role.services],
        "settings": dict(app.settings),
    }


def _role(role: schema.Role) -> dict[str, Any]:
    return {
        "name": role.name,
        "title": role.title,
        "min_count": role.min_count,
        "max_count": role.max_count,
        "critical": role.critical,
        "when": role.when or None,
        "minimum": amounts_body(role.minimum),
        "default": amounts_body(role.default),
    }


def _service(role: schema.Role, service: schema.Service) -> dict[str, Any]:
    return {
        "name": service.name,
        "role": role.name,
        "port": role.ports[service.port],
        "scheme": service.scheme,
        "dashboard": service.dashboard,
    }


class Apps(Endpoint):
    @method("app.list", "The catalogue", {200: page_shape("App", AppOut)}, query=PageQuery)
    def get(self, call: ApiCall) -> Response:
        """All versions that can be launched, the newest first."""
        require_scope(call.actor, "templates:read")
        found: dict[str, Any] = page(
            apps(), call.query, order=Order(), to_json=lambda rows: [app_json(row.spec) for row in rows]
        )
        return answer(found)
