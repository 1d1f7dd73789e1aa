"""The templates that ship with Slipway: every tenant has them, and a release that changes one adds a revision."""

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
    """Publishes the templates that ship; call it after `catalog_register`. Idempotent, also in parallel processes.

    Each template uses the version of its app that ships with it. When that version does not exist or was withdrawn,
    the template is not changed and the log says so, so that Slipway starts with the others. Raises BadCatalog, Invalid.
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
        template = _locked_row(name, actor.username)
        if revision_add(template=template, app=app, spec=spec, created_by=actor.username):
            detail = {"app": str(app), "revision": current_revision(template).number}
            audit.record(actor=actor, verb="template.publish", target=f"template/{name}", detail=detail)
    return template


def _locked_row(name: str, created_by: str) -> Template:
    """The locked row, created if it does not exist. A second process waits here and then finds the row."""
    new = Template(name=name, state=TemplateState.PUBLISHED, created_by=created_by)
    Template.objects.bulk_create([new], ignore_conflicts=True)
    rows = Template.objects.select_for_update(of=("self",)).select_related("current")
    return rows.get(tenant=None, name=name, deleted_at=None)
