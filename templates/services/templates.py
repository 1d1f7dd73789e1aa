"""A tenant's own templates: create, update by a new revision, roll back, publish, deprecate and delete.

A rollback makes an older revision current and adds none, so that a number always means the same contents: what was
measured with revision 2 holds when it is current again.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from templates.models import Template, TemplateState
from templates.selectors import check_app, current_revision, revisions, template_for
from templates.services.revisions import read_body, revision_add
from tenants import audit
from tenants.access import Access, allow
from tenants.errors import Conflict, Invalid, NotFound
from tenants.names import validate_name


def template_create(*, access: Access, name: str, body: Mapping[str, Any]) -> Template:
    """Creates a draft with revision 1. body: see `templates.revision`.

    Raises Invalid, Conflict NAME_TAKEN, APP_WITHDRAWN or TENANT_SUSPENDED, NeedsRole, NeedsScope.
    """
    allow(access, "templates.write")
    access.require_active()
    validate_name(name)
    app, spec = read_body(body)
    try:
        with transaction.atomic():
            if Template.objects.filter(tenant=None, name=name, deleted_at=None).exists():
                raise _name_taken()
            template = Template.objects.create(
                tenant=access.tenant, name=name, created_by=access.actor.username
            )
            revision_add(template=template, app=app, spec=spec, created_by=access.actor.username)
            _record(access, "template.create", template, {"app": str(app), "revision": 1})
    except IntegrityError as error:
        if "template_name_in_use" not in str(error):
            raise
        raise _name_taken() from error
    return template


def template_update(*, access: Access, template: str | UUID, body: Mapping[str, Any]) -> Template:
    """Adds a revision and makes it current. A body that equals the current revision changes nothing.

    Raises Invalid, NotFound, Conflict SHIPPED_TEMPLATE, APP_WITHDRAWN or TENANT_SUSPENDED, NeedsRole,
    NeedsScope.
    """
    allow(access, "templates.write")
    access.require_active()
    app, spec = read_body(body)
    with transaction.atomic():
        found = _locked(access, template)
        if revision_add(template=found, app=app, spec=spec, created_by=access.actor.username):
            detail = {"app": str(app), "revision": current_revision(found).number}
            _record(access, "template.update", found, detail)
    return found


def template_rollback(*, access: Access, template: str | UUID, revision: int) -> Template:
    """Makes another revision current, an older or a newer one. Idempotent.

    Raises Invalid for a number without a revision, NotFound, Conflict SHIPPED_TEMPLATE, APP_WITHDRAWN or
    TENANT_SUSPENDED, NeedsRole, NeedsScope.
    """
    allow(access, "templates.write")
    access.require_active()
    if isinstance(revision, bool) or not isinstance(revision, int) or not 1 <= revision < 2**31:
        raise Invalid.at("/revision", "Must be the number of a revision, 1 or more.")
    with transaction.atomic():
        found = _locked(access, template)
        before = current_revision(found).number
        target = revisions(found).filter(number=revision).first()
        if target is None:
            raise Invalid.at(
                "/revision", "The template has no revision of this number. Choose one of its revisions."
            )
        check_app(target.app)
        if target.number != before:
            found.current = target
            found.save(update_fields=["current"])
            _record(access, "template.rollback", found, {"from": before, "to": target.number})
    return found


def template_publish(*, access: Access, template: str | UUID) -> Template:
    """Lets every member of the tenant see and launch the template. Idempotent.

    Raises NotFound, Conflict SHIPPED_TEMPLATE, APP_WITHDRAWN or TENANT_SUSPENDED, NeedsRole, NeedsScope.
    """
    allow(access, "templates.write")
    access.require_active()
    with transaction.atomic():
        found = _locked(access, template)
        check_app(current_revision(found).app)
        _move(access, found, TemplateState.PUBLISHED, "template.publish")
    return found


def template_deprecate(*, access: Access, template: str | UUID) -> Template:
    """Refuses new launches of the template until it is published again. Clusters that exist continue. Idempotent.

    Raises NotFound, Conflict SHIPPED_TEMPLATE or WRONG_STATE (a draft), NeedsRole, NeedsScope.
    """
    allow(access, "templates.write")
    with transaction.atomic():
        found = _locked(access, template)
        if found.state == TemplateState.DRAFT:
            raise Conflict(
                "WRONG_STATE",
                "Only a published template can be deprecated, and this one is a draft. Delete it instead.",
            )
        _move(access, found, TemplateState.DEPRECATED, "template.deprecate")
    return found


def template_delete(*, access: Access, template: str | UUID) -> None:
    """Deletes the template; its name can be used again. Clusters that exist keep their revision.

    Raises NotFound, Conflict SHIPPED_TEMPLATE, NeedsRole, NeedsScope.
    """
    allow(access, "templates.write")
    with transaction.atomic():
        found = _locked(access, template)
        Template.objects.filter(pk=found.pk).update(deleted_at=Now())
        _record(access, "template.delete", found, {})


def _name_taken() -> Conflict:
    return Conflict("NAME_TAKEN", "A template has this name already. Choose another name.")


def _locked(access: Access, name_or_id: str | UUID) -> Template:
    """The tenant's own template, its row locked until commit. Raises NotFound, Conflict SHIPPED_TEMPLATE."""
    unlocked = template_for(access, name_or_id)
    if unlocked.tenant_id is None:
        raise Conflict(
            "SHIPPED_TEMPLATE",
            "This template ships with Slipway and cannot be changed. Create a template of your own from it.",
        )
    rows = Template.objects.select_for_update(of=("self",)).select_related("current__app")
    found = rows.defer("current__app__body").filter(pk=unlocked.pk, deleted_at=None).first()
    if found is None:
        raise NotFound
    return found


def _move(access: Access, template: Template, state: TemplateState, verb: str) -> None:
    """Moves the template to `state`; one that is there already is not audited."""
    if template.state != state:
        template.state = state
        template.save(update_fields=["state"])
        _record(access, verb, template, {})


def _record(access: Access, verb: str, template: Template, detail: Mapping[str, Any]) -> None:
    audit.record(
        actor=access.actor, verb=verb, target=f"template/{template.name}", tenant=access.tenant, detail=detail
    )
