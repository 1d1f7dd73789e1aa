"""The templates that ship: there for every tenant, published, and renewed by a release that changes them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from django.db import transaction

from templates import catalog
from templates.models import Template, TemplateState
from templates.revision import parse_revision
from templates.selectors import current_revision
from templates.services.revisions import find_app, revision_add
from tenants import audit
from tenants.actors import system_actor

_log = structlog.get_logger("catalog")


def defaults_publish(*, folder: Path = catalog.FOLDER) -> list[Template]:
    """Publishes what ships to every tenant, after `catalog_register`. Idempotent, in parallel too.

    Each template takes the version of its app that ships beside it; where that was withdrawn, the template
    stays as it is, so that Slipway starts. Raises BadCatalog, Invalid.
    """
    versions = {app.name: app.version for app in catalog.load(folder)}
    bodies = catalog.load_templates(folder)
    published = [_publish(name, _with_version(name, body, versions)) for name, body in bodies.items()]
    return [template for template in published if template is not None]


def _with_version(name: str, body: Mapping[str, Any], versions: Mapping[str, str]) -> dict[str, Any]:
    if body["app"] not in versions:
        raise catalog.BadCatalog(f"{catalog.TEMPLATES}: /{name}/app: no app {body['app']} ships")
    return {**body, "app": {"name": body["app"], "version": versions[body["app"]]}}


def _publish(name: str, body: Mapping[str, Any]) -> Template | None:
    app = find_app(body)
    if app.withdrawn_at is not None:
        _log.warning(
            "template_left_as_it_is", template=name, app=str(app), why="the app version was withdrawn"
        )
        return None
    spec, actor = parse_revision(body, app.spec), system_actor()
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
