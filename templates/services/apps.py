"""The catalogue: an app version is registered once, never changes, and can be withdrawn."""

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
    """Registers the apps that ship. Idempotent, also in parallel processes.

    Returns a refusal for each app whose files differ from what is registered under its version. The registered app
    stays, and the log says so. Raises BadCatalog.
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
    """The row of `app`, registered if it is not there. Raises Conflict APP_CHANGED, NeedsRole, NeedsScope."""
    require_site_admin(actor, "templates:write")
    body = app_body(app)
    new = App(name=app.name, version=app.version, body=body, digest=digest(body))
    with transaction.atomic():
        App.objects.bulk_create([new], ignore_conflicts=True)
        row = App.objects.get(name=app.name, version=app.version)
        if row.pk == new.pk:
            audit.record(actor=actor, verb="app.register", target=_target(row), detail={"digest": row.digest})
    # Compared as apps, so that a release that writes the same app as another body is not refused.
    if row.digest != new.digest and row.spec != app:
        raise Conflict(
            "APP_CHANGED",
            f"{app.name} {app.version} is registered with other contents, which never change. "
            "Give the changed app another version.",
        )
    return row


def app_withdraw(*, actor: Actor, name: str, version: str) -> App:
    """Refuses new launches of this version. Clusters that exist keep it. Idempotent.

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
