from typing import Any, Final

from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.endpoint import Call, Endpoint, answer, operation
from controlplane.api.fields import Choice, Flag, Name, Text, Tree, Whole
from controlplane.api.pagination import Order, page
from controlplane.api.schema import page_shape
from controlplane.api.shapes import In, Out, PageQuery
from controlplane.api.v1 import template_schemas as shapes
from controlplane.api.v1.common import ROOT, AmountsOut, in_tenant, rfc3339
from controlplane.clusters.selectors import usual_seconds
from templates import selectors, services
from templates.models import Template, TemplateRevision, TemplateState
from templates.selectors import current_revision
from tenants.access import allow

_writing: Final = in_tenant("templates.write")


class AppRefOut(Out):
    name = serializers.CharField()
    version = serializers.CharField()


class SecondsOut(Out):
    """Of the last launches that succeeded, and of how many."""

    p50 = serializers.FloatField()
    p95 = serializers.FloatField()
    of = serializers.IntegerField()


class TemplateOut(Out):
    id = serializers.UUIDField()
    name = serializers.CharField()
    revision = serializers.IntegerField()
    state = Choice(list(TemplateState.values))
    shipped = serializers.BooleanField(help_text="Comes with Slipway and is there for every tenant.")
    title = serializers.CharField(allow_blank=True)
    description = serializers.CharField(allow_blank=True)
    app = AppRefOut()
    quick_launch = serializers.BooleanField()
    groups = Tree(list, schema=shapes.GROUPS_OUT)
    parameters = Tree(schema=shapes.SCHEMA_OUT, help_text="JSON Schema of a launch's parameters.")
    presets = Tree(schema={"type": "object"})
    takes = AmountsOut(help_text="What a launch takes that says nothing else.")
    usual_seconds = SecondsOut(allow_null=True)
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField()


class RevisionOut(Out):
    revision = serializers.IntegerField()
    current = serializers.BooleanField()
    app = AppRefOut()
    body = Tree(schema={"type": "object"}, help_text="As it can be sent again to make this revision's twin.")
    takes = AmountsOut()
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField()


class TemplateBodyIn(In):
    app = Tree(schema=shapes.APP)
    groups = Tree(list, schema=shapes.GROUPS)
    title = Text(most=100, required=False)
    description = Text(most=2000, required=False)
    quick_launch = Flag(required=False)
    parameters = Tree(required=False, schema=shapes.PARAMETERS)
    presets = Tree(required=False, schema=shapes.PRESETS)


class TemplateIn(TemplateBodyIn):
    name = Name()


class RollbackIn(In):
    revision = Whole(least=1, most=2**31 - 1)


def template_json(template: Template, usual: dict[str, Any] | None) -> dict[str, Any]:
    revision = current_revision(template)
    body = revision.body
    return {
        "id": str(template.pk),
        "name": template.name,
        "revision": revision.number,
        "state": template.state,
        "shipped": template.tenant_id is None,
        "created_at": rfc3339(template.created_at),
        "created_by": template.created_by,
        **{field: body[field] for field in ("title", "description", "app", "quick_launch", "groups")},
        **{field: body[field] for field in ("parameters", "presets")},
        "takes": revision.takes,
        "usual_seconds": usual,
    }


def revision_json(revision: TemplateRevision, current: int) -> dict[str, Any]:
    return {
        "revision": revision.number,
        "current": revision.number == current,
        "app": revision.body["app"],
        "body": revision.body,
        "takes": revision.takes,
        "created_at": rfc3339(revision.created_at),
        "created_by": revision.created_by,
    }


def _documents(rows: list[Template]) -> list[dict[str, Any]]:
    usual = usual_seconds([row.pk for row in rows])
    return [template_json(row, usual.get(row.pk)) for row in rows]


def _shown(call: Call, tenant: str, template: Template | str, **more: Any) -> Response:
    """As it is read, whoever changed it."""
    ident = template.pk if isinstance(template, Template) else template
    found = selectors.template_for(call.enter(tenant), ident)
    [document] = _documents([found])
    return answer(document, **more)


class Templates(Endpoint):
    @operation("template.list", "Templates", {200: page_shape("Template", TemplateOut)}, query=PageQuery)
    def get(self, call: Call, tenant: str) -> Response:
        """Those that ship and the tenant's own. Drafts are shown to whoever may write templates."""
        found = page(
            selectors.templates_for(call.enter(tenant)), call.query, order=Order(), to_json=_documents
        )
        return answer(found)

    @operation(
        "template.create",
        "Make a template",
        {201: TemplateOut},
        body=TemplateIn,
        location=True,
        recheck=_writing,
    )
    def post(self, call: Call, tenant: str) -> Response:
        """A draft: publish it, and every member may launch it."""
        access = call.enter(tenant)
        body = dict(call.body)
        made = services.template_create(access=access, name=body.pop("name"), body=body)
        return _shown(
            call,
            tenant,
            made,
            status=201,
            location=f"{ROOT}/tenants/{access.tenant.name}/templates/{made.pk}",
        )


class OneTemplate(Endpoint):
    @operation("template.read", "A template", {200: TemplateOut})
    def get(self, call: Call, tenant: str, template: str) -> Response:
        return _shown(call, tenant, template)

    @operation(
        "template.update", "Change a template", {200: TemplateOut}, body=TemplateBodyIn, recheck=_writing
    )
    def put(self, call: Call, tenant: str, template: str) -> Response:
        """Adds a revision and makes it current; clusters that exist keep theirs."""
        done = services.template_update(access=call.enter(tenant), template=template, body=call.body)
        return _shown(call, tenant, done)

    @operation("template.delete", "Delete a template", {204: None}, recheck=_writing)
    def delete(self, call: Call, tenant: str, template: str) -> Response:
        """Clusters that exist keep what they were launched with."""
        services.template_delete(access=call.enter(tenant), template=template)
        return answer(status=204)


class TemplateRollback(Endpoint):
    @operation(
        "template.rollback",
        "Make another revision current",
        {200: TemplateOut},
        body=RollbackIn,
        recheck=_writing,
    )
    def post(self, call: Call, tenant: str, template: str) -> Response:
        """Back or forward; no revision is lost."""
        done = services.template_rollback(
            access=call.enter(tenant), template=template, revision=call.body["revision"]
        )
        return _shown(call, tenant, done)


class TemplatePublish(Endpoint):
    @operation("template.publish", "Publish a template", {200: TemplateOut}, recheck=_writing)
    def post(self, call: Call, tenant: str, template: str) -> Response:
        return _shown(call, tenant, services.template_publish(access=call.enter(tenant), template=template))


class TemplateDeprecate(Endpoint):
    @operation(
        "template.deprecate",
        "Let nothing new be launched of a template",
        {200: TemplateOut},
        recheck=_writing,
    )
    def post(self, call: Call, tenant: str, template: str) -> Response:
        return _shown(call, tenant, services.template_deprecate(access=call.enter(tenant), template=template))


class Revisions(Endpoint):
    @operation(
        "template.revisions",
        "Revisions of a template",
        {200: page_shape("Revision", RevisionOut)},
        query=PageQuery,
    )
    def get(self, call: Call, tenant: str, template: str) -> Response:
        """Newest first."""
        access = call.enter(tenant)
        allow(access, "templates.read")
        found = selectors.template_for(access, template)
        current = current_revision(found).number
        listed = page(
            selectors.revisions(found),
            call.query,
            order=Order("number", int),
            to_json=lambda rows: [revision_json(row, current) for row in rows],
        )
        return answer(listed)
