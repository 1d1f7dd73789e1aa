"""A tenant's own templates: made, changed by new revisions, rolled back and forward, published, put away.

Rolling back moves the pointer to an old revision and makes no new one: a number means one content for ever,
so what was measured of revision 2 holds when it is current again. The audit tells of the way.
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
    """A draft with revision 1. `body` as in `templates.revision`.

    Raises Invalid, Conflict NAME_TAKEN, APP_WITHDRAWN or TENANT_SUSPENDED, NeedsRole, NeedsScope.
    """
    allow(access, "templates.write")
    access.require_active()
    validate_name(name)
    app, spec = read_body(body)
    try:
        with transaction.atomic():
            template = _insert(access, name)
            revision_add(template=template, app=app, spec=spec, created_by=access.actor.username)
            _record(access, "template.create", template, {"app": str(app), "revision": 1})
    except IntegrityError as error:
        if "template_name_in_use" not in str(error):
            raise
        raise _name_taken() from error
    return template


def template_update(*, access: Access, template: str | UUID, body: Mapping[str, Any]) -> Template:
    """Adds a revision and makes it current; a body that says what is current changes nothing.

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
    """Makes an older or newer revision current. Idempotent.

    Raises Invalid for a revision that is not there, NotFound, Conflict SHIPPED_TEMPLATE, APP_WITHDRAWN or
    TENANT_SUSPENDED, NeedsRole, NeedsScope.
    """
    allow(access, "templates.write")
    access.require_active()
    with transaction.atomic():
        found = _locked(access, template)
        before = current_revision(found).number
        target = revisions(found).filter(number=_number(revision)).first()
        if target is None:
            raise Invalid.at("/revision", "The template has no revision of this number.")
        check_app(target.app)
        if target.number != before:
            found.current = target
            found.save(update_fields=["current"])
            _record(access, "template.rollback", found, {"from": before, "to": target.number})
    return found


def template_publish(*, access: Access, template: str | UUID) -> Template:
    """Every member of the tenant sees it from now on and may launch it. Idempotent.

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
    """Nothing new is launched of it; clusters that exist go on, and publishing it brings it back. Idempotent.

    Raises NotFound, Conflict SHIPPED_TEMPLATE or WRONG_STATE (a draft), NeedsRole, NeedsScope.
    """
    allow(access, "templates.write")
    with transaction.atomic():
        found = _locked(access, template)
        if found.state == TemplateState.DRAFT:
            raise Conflict("WRONG_STATE", "A draft was never published. Delete it, or leave it a draft.")
        _move(access, found, TemplateState.DEPRECATED, "template.deprecate")
    return found


def template_delete(*, access: Access, template: str | UUID) -> None:
    """Frees the name. Clusters that exist keep what they were launched with.

    Raises NotFound, Conflict SHIPPED_TEMPLATE, NeedsRole, NeedsScope.
    """
    allow(access, "templates.write")
    with transaction.atomic():
        found = _locked(access, template)
        Template.objects.filter(pk=found.pk).update(deleted_at=Now())
        _record(access, "template.delete", found, {})


def _insert(access: Access, name: str) -> Template:
    if Template.objects.filter(tenant=None, name=name, deleted_at=None).exists():
        raise _name_taken()
    return Template.objects.create(tenant=access.tenant, name=name, created_by=access.actor.username)


def _name_taken() -> Conflict:
    return Conflict("NAME_TAKEN", "A template of this name is there already. Choose another name.")


def _locked(access: Access, name_or_id: str | UUID) -> Template:
    """The tenant's own template, read again under its row's lock."""
    seen = template_for(access, name_or_id)
    if seen.tenant_id is None:
        raise Conflict(
            "SHIPPED_TEMPLATE",
            "This template ships with Slipway and stays as it is. Make one of your own from it.",
        )
    rows = Template.objects.select_for_update(of=("self",)).select_related("current__app")
    found = rows.defer("current__app__body").filter(pk=seen.pk, deleted_at=None).first()
    if found is None:
        raise NotFound
    return found


def _number(revision: object) -> int:
    if isinstance(revision, bool) or not isinstance(revision, int) or not 1 <= revision < 2**31:
        raise Invalid.at("/revision", "Must be the number of a revision, 1 or more.")
    return revision


def _move(access: Access, template: Template, state: TemplateState, verb: str) -> None:
    if template.state != state:
        template.state = state
        template.save(update_fields=["state"])
        _record(access, verb, template, {})


def _record(access: Access, verb: str, template: Template, detail: Mapping[str, Any]) -> None:
    audit.record(
        actor=access.actor, verb=verb, target=f"template/{template.name}", tenant=access.tenant, detail=detail
    )
