from collections.abc import Callable
from functools import partial
from typing import Any, Final

from django.db import transaction
from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.endpoint import ApiCall, Endpoint, answer, method
from controlplane.api.fields import Choice, Flag, Name, Text, Tree, Whole
from controlplane.api.openapi import page_shape
from controlplane.api.pagination import Order, page
from controlplane.api.shapes import In, Out, PageQuery
from controlplane.api.v1 import template_schemas as shapes
from controlplane.api.v1.common import ROOT, AmountsOut, PlanQuery, in_tenant, rfc3339
from controlplane.clusters.phases import Phase
from controlplane.clusters.queries.reads import usual_seconds
from controlplane.clusters.selectors import template_users
from templates import selectors, services
from templates.models import Template, TemplateRevision, TemplateState
from templates.selectors import current_revision
from tenants.access import Access, allow
from tenants.errors import Conflict

_writing: Final = in_tenant("templates.write")


class AppRefOut(Out):
    name = serializers.CharField()
    version = serializers.CharField()


class SecondsOut(Out):
    """Of the last launches that succeeded. of: their number."""

    p50 = serializers.FloatField()
    p95 = serializers.FloatField()
    of = serializers.IntegerField()


class TemplateOut(Out):
    id = serializers.UUIDField()
    name = serializers.CharField()
    revision = serializers.IntegerField()
    state = Choice(list(TemplateState.values))
    shipped = serializers.BooleanField(help_text="Comes with Slipway, for every tenant.")
    title = serializers.CharField(allow_blank=True)
    description = serializers.CharField(allow_blank=True)
    app = AppRefOut()
    quick_launch = serializers.BooleanField()
    groups = Tree(list, schema=shapes.GROUPS_OUT)
    parameters = Tree(schema=shapes.SCHEMA_OUT, help_text="JSON Schema of a launch's parameters.")
    presets = Tree(schema={"type": "object"})
    takes = AmountsOut(help_text="What a launch without choices takes.")
    usual_seconds = SecondsOut(allow_null=True)
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField()


class RevisionOut(Out):
    revision = serializers.IntegerField()
    current = serializers.BooleanField()
    app = AppRefOut()
    body = Tree(schema={"type": "object"}, help_text="As it can be sent again to make an equal revision.")
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


class DeleteIn(In):
    in_use = Flag(default=False, help_text="Also while clusters of the template exist.")


class TemplateUserOut(Out):
    cluster = serializers.CharField()
    owner = serializers.CharField()
    phase = Choice([str(phase) for phase in Phase])


class TemplateUsersOut(Out):
    """The clusters that were launched from it; at most 100."""

    used_by = TemplateUserOut(many=True)


def _is_trial(call: ApiCall) -> bool:
    return bool(call.query["validate_only"])


_CHANGES: Final[dict[str, Any]] = {"query": PlanQuery, "recheck": _writing, "skip_key": _is_trial}


def template_json(template: Template, usual: dict[str, Any] | None) -> dict[str, Any]:
    revision = current_revision(template)
    body = revision.document
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
        "takes": revision.default_takes.to_json(),
        "usual_seconds": usual,
    }


def revision_json(revision: TemplateRevision, current: int) -> dict[str, Any]:
    return {
        "revision": revision.number,
        "current": revision.number == current,
        "app": revision.body["app"],
        "body": revision.document,
        "takes": revision.default_takes.to_json(),
        "created_at": rfc3339(revision.created_at),
        "created_by": revision.created_by,
    }


def _documents(access: Access, rows: list[Template]) -> list[dict[str, Any]]:
    usual = usual_seconds(access.tenant.pk, [row.pk for row in rows])
    return [template_json(row, usual.get(row.pk)) for row in rows]


def _shown(call: ApiCall, tenant: str, template: Template | str, **more: Any) -> Response:
    """The document of the template, as a GET answers it."""
    ident = template.pk if isinstance(template, Template) else template
    access = call.enter(tenant)
    [document] = _documents(access, [selectors.template_for(access, ident)])
    return answer(document, **more)


def _changed(
    call: ApiCall, tenant: str, service: Callable[..., Template], *, status: int = 200, **given: Any
) -> Response:
    """The template after the change. With validate_only, the change is rolled back."""
    access = call.enter(tenant)
    with transaction.atomic():
        changed = service(access=access, **given)
        shown = _shown(call, tenant, changed, status=200 if _is_trial(call) else status)
        if _is_trial(call):
            transaction.set_rollback(True)
        elif status == 201:
            shown["Location"] = f"{ROOT}/tenants/{access.tenant.name}/templates/{changed.pk}"
    return shown


def _in_use(used_by: list[dict[str, Any]]) -> Conflict:
    names = ", ".join(f"{one['cluster']} of {one['owner']}" for one in used_by[:5])
    return Conflict(
        "IN_USE",
        f"Launched from this template: {names}{' and others' if len(used_by) > 5 else ''}. They would keep what they "
        'have. Delete them first, or confirm with {"in_use": true}.',
        used_by=used_by,
    )


class Templates(Endpoint):
    @method("template.list", "Templates", {200: page_shape("Template", TemplateOut)}, query=PageQuery)
    def get(self, call: ApiCall, tenant: str) -> Response:
        """Those that ship and the tenant's own. Only users who may write templates see drafts."""
        access = call.enter(tenant)
        found = selectors.templates_for(access)
        return answer(page(found, call.query, order=Order(), to_json=partial(_documents, access)))

    @method(
        "template.create",
        "Make a template",
        {201: TemplateOut, 200: TemplateOut},
        body=TemplateIn,
        location=True,
        **_CHANGES,
    )
    def post(self, call: ApiCall, tenant: str) -> Response:
        """It is a draft. Once it is published, every member may launch it."""
        body = dict(call.body)
        name = body.pop("name")
        return _changed(call, tenant, services.template_create, status=201, name=name, body=body)


class OneTemplate(Endpoint):
    @method("template.read", "A template", {200: TemplateOut})
    def get(self, call: ApiCall, tenant: str, template: str) -> Response:
        return _shown(call, tenant, template)

    @method("template.update", "Change a template", {200: TemplateOut}, body=TemplateBodyIn, **_CHANGES)
    def put(self, call: ApiCall, tenant: str, template: str) -> Response:
        """Adds a revision and makes it current; clusters that exist keep theirs."""
        return _changed(call, tenant, services.template_update, template=template, body=call.body)

    @method(
        "template.delete", "Delete a template", {204: None, 200: TemplateUsersOut}, body=DeleteIn, **_CHANGES
    )
    def delete(self, call: ApiCall, tenant: str, template: str) -> Response:
        """Refused while clusters of the template exist, unless that is confirmed; they run on unchanged."""
        access = call.enter(tenant)
        allow(access, "templates.write")
        with transaction.atomic():
            used_by = template_users(access, template)
            services.template_delete(access=access, template=template)
            if _is_trial(call):
                transaction.set_rollback(True)
                return answer({"used_by": used_by})
            if used_by and not call.body["in_use"]:
                raise _in_use(used_by)
        return answer(status=204)


class TemplateRollback(Endpoint):
    @method(
        "template.rollback",
        "Make another revision current",
        {200: TemplateOut},
        body=RollbackIn,
        **_CHANGES,
    )
    def post(self, call: ApiCall, tenant: str, template: str) -> Response:
        """Back or forward; no revision is lost."""
        revision = call.body["revision"]
        return _changed(call, tenant, services.template_rollback, template=template, revision=revision)


class TemplatePublish(Endpoint):
    @method("template.publish", "Publish a template", {200: TemplateOut}, **_CHANGES)
    def post(self, call: ApiCall, tenant: str, template: str) -> Response:
        return _changed(call, tenant, services.template_publish, template=template)


class TemplateDeprecate(Endpoint):
    @method(
        "template.deprecate",
        "Let nothing new be launched of a template",
        {200: TemplateOut},
        **_CHANGES,
    )
    def post(self, call: ApiCall, tenant: str, template: str) -> Response:
        return _changed(call, tenant, services.template_deprecate, template=template)


class Revisions(Endpoint):
    @method(
        "template.revisions",
        "Revisions of a template",
        {200: page_shape("Revision", RevisionOut)},
        query=PageQuery,
    )
    def get(self, call: ApiCall, tenant: str, template: str) -> Response:
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
