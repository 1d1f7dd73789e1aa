"""The catalogue: apps come in once and stay what they are; one that proves bad is withdrawn."""

from pathlib import Path

import structlog
from django.db import transaction
from django.db.models.functions import Now

from templates import catalog, schema
from templates.models import App
from templates.parsing import app_body, digest
from templates.selectors import app_for
from tenants import audit
from tenants.access import require_site_admin
from tenants.actors import Actor, system_actor
from tenants.errors import Conflict

_log = structlog.get_logger("catalog")


def catalog_register(*, folder: Path = catalog.FOLDER) -> list[Conflict]:
    """Registers what ships. Idempotent, and safe to run in several processes at once.

    Returns the refusals: apps whose files differ from what is registered under their version. They stay as
    they are registered, so that Slipway starts and keeps its promise; the log says so too. Raises BadCatalog.
    """
    refusals = []
    for app in catalog.load(folder):
        try:
            app_register(actor=system_actor(), app=app)
        except Conflict as refusal:
            _log.error("app_differs_from_registered", app=app.name, version=app.version)
            refusals.append(refusal)
    return refusals


def app_register(*, actor: Actor, app: schema.App) -> App:
    """The row of `app`, made if it is not there. Raises Conflict APP_CHANGED, NeedsRole, NeedsScope."""
    require_site_admin(actor, "templates:write")
    body = app_body(app)
    new = App(name=app.name, version=app.version, body=body, digest=digest(body))
    with transaction.atomic():
        App.objects.bulk_create([new], ignore_conflicts=True)
        row = App.objects.get(name=app.name, version=app.version)
        if row.pk == new.pk:
            audit.record(actor=actor, verb="app.register", target=_target(row), detail={"digest": row.digest})
    # Compared as apps: a release that spells bodies differently, and means the same, changes nothing.
    if row.digest != new.digest and row.spec != app:
        raise Conflict(
            "APP_CHANGED",
            f"{app.name} {app.version} is registered with another body, which never changes. "
            "Give the changed app a version of its own.",
        )
    return row


def app_withdraw(*, actor: Actor, name: str, version: str) -> App:
    """Nothing new is launched of this version from now on; clusters that exist keep it. Idempotent.

    Raises NotFound, NeedsRole, NeedsScope.
    """
    require_site_admin(actor, "templates:write")
    row = app_for(name, version)
    with transaction.atomic():
        if App.objects.filter(pk=row.pk, withdrawn_at=None).update(withdrawn_at=Now()):
            audit.record(actor=actor, verb="app.withdraw", target=_target(row))
    row.refresh_from_db(fields=["withdrawn_at"])
    return row


def _target(app: App) -> str:
    return f"app/{app.name}@{app.version}"
