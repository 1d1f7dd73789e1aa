"""Upgrades the database to this release: migrations, then the bootstrap. `up` runs it as a child process."""

import sys
from pathlib import Path

import django
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader

from controlplane.standalone.installation.errors import REFUSED, ExpectedError

# The key of an advisory lock: one process at a time changes the schema. The number is arbitrary.
ALONE = 7_215_403_118
OURS = ("tenants", "templates", "controlplane")


def main() -> None:
    """Exits with REFUSED when the user has to do something; the last line of output says what."""
    django.setup()
    guard = connections.create_connection(DEFAULT_DB_ALIAS)
    try:
        guard.ensure_connection()
    except OperationalError as error:
        sys.exit(f"The database does not answer: {str(error).strip()}")
    try:
        guard.set_autocommit(False)
        with guard.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ALONE])
        bring_up(Path(settings.DATA_DIR))
    except ExpectedError as error:
        print(error, file=sys.stderr)
        sys.exit(REFUSED)
    finally:
        guard.close()


def bring_up(folder: Path) -> None:
    # These import models, which is possible only after django.setup().
    from controlplane.standalone.setup.bootstrap import bootstrap
    from tenants import seal
    from tenants.installation import WrongKey, key_record

    refuse_newer(connections[DEFAULT_DB_ALIAS])
    call_command("migrate", interactive=False, verbosity=1, stdout=sys.stderr)
    # A database of an older release has no record of the key, but it has seals.
    if not seal.newest_fits():
        raise ExpectedError(str(WrongKey()))
    try:
        key_record()
    except WrongKey as error:
        raise ExpectedError(str(error)) from error
    bootstrap(folder)


def refuse_newer(database: BaseDatabaseWrapper) -> None:
    """Raises ExpectedError when the database has a migration of ours that this release does not know."""
    loader = MigrationLoader(database)
    known = set(loader.disk_migrations) | {
        old for migration in loader.disk_migrations.values() for old in migration.replaces
    }
    ours = {config.label for config in apps.get_app_configs() if config.name.split(".")[0] in OURS}
    strange = sorted(f"{app}.{name}" for app, name in set(loader.applied_migrations) - known if app in ours)
    if strange:
        raise ExpectedError(
            f"The database was made by a newer release of Slipway (this one does not know {strange[0]}): run that "
            "release, or restore a backup from before the upgrade."
        )


if __name__ == "__main__":
    main()
