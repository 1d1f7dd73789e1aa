"""Brings the database up to this release: migrations, then what a first visit needs. A child of `up`."""

import sys
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections

# One installation at a time changes the schema, whoever else may share the database. The number is arbitrary.
ALONE = 7_215_403_118


def main() -> None:
    django.setup()
    # Only now can models be imported.
    from controlplane.standalone.bootstrap import bootstrap

    guard = connections.create_connection(DEFAULT_DB_ALIAS)
    try:
        guard.ensure_connection()
    except OperationalError as error:
        sys.exit(f"The database does not answer: {str(error).strip()}")
    try:
        guard.set_autocommit(False)
        with guard.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ALONE])
        call_command("migrate", interactive=False, verbosity=1, stdout=sys.stderr)
        bootstrap(Path(settings.DATA_DIR))
    finally:
        guard.close()


if __name__ == "__main__":
    main()
