"""The templates that ship: there for every tenant, published, and renewed by a release that changes them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from django.db import transaction

from templates import catalog
from templates.models import Template, TemplateState
from templates.selectors import app_for, current_revision
from templates.services.revisions import read_body, revision_add
from tenants import audit
from tenants.actors import system_actor

_log = structlog.get_logger("catalog")


def defaults_publish(*, folder: Path = catalog.FOLDER) -> list[Template]:
    """Publishes what ships to every tenant, after `catalog_register`. Idempotent, in parallel too.

    Each template takes the version of its app that ships beside it. Where no version does, or that one was
    withdrawn, the template stays as it is, and the log says so: Slipway starts with the others. Raises
    BadCatalog, Invalid.
    """
    versions = {app.name: app.version for app in catalog.load(folder)}
    published = []
    for name, body in catalog.load_templates(folder).items():
        version = versions.get(body["app"])
        if version is None:
            _log.warning("template_without_app", template=name, app=body["app"])
        elif not app_for(body["app"], version).withdrawn_at:
            published.append(_publish(name, {**body, "app": {"name": body["app"], "version": version}}))
        else:
            _log.warning("template_of_withdrawn_app", template=name, app=body["app"], version=version)
    return published


def _publish(name: str, body: Mapping[str, Any]) -> Template:
    app, spec = read_body(body)
    actor = system_actor()
    with transaction.atomic():
        template = _there(name, actor.username)
        if revision_add(template=template, app=app, spec=spec, created_by=actor.username):
            detail = {"app": str(app), "revision": current_revision(template).number}
            audit.record(actor=actor, verb="template.publish", target=f"template/{name}", detail=detail)
    return template


def _there(name: str, created_by: str) -> Template:
    """The row, made if need be, and locked: a second process waits here and then finds it."""
    new = Template(name=name, state=TemplateState.PUBLISHED, created_by=created_by)
    Template.objects.bulk_create([new], ignore_conflicts=True)
    rows = Template.objects.select_for_update(of=("self",)).select_related("current")
    return rows.get(tenant=None, name=name, deleted_at=None)
