"""`up` refuses a database with another key or of a newer release, and records its own."""

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from controlplane.standalone.installation.errors import ExpectedError
from controlplane.standalone.setup.upgrade import bring_up, refuse_newer
from tenants import audit, seal
from tenants.actors import system_actor
from tenants.installation import WrongKey
from tenants.models import AuditSeal, InstallationKey

pytestmark = pytest.mark.django_db


def test_another_key_is_refused_and_seals_nothing(tmp_path: Path, settings: object) -> None:
    bring_up(tmp_path)
    settings.INSTALLATION_KEY = "another-key-of-more-than-32-characters"  # type: ignore[attr-defined]
    with pytest.raises(ExpectedError, match=r"written with another installation key\. Restore that key"):
        bring_up(tmp_path)
    with pytest.raises(WrongKey):
        seal.seal()
    with pytest.raises(CommandError, match="another installation key"):
        call_command("audit", "verify")
    assert not AuditSeal.objects.exists()


def test_a_database_without_a_record_is_known_by_its_newest_seal(tmp_path: Path, settings: object) -> None:
    audit.record(actor=system_actor(), verb="site.put", target="site/local", tenant=None)
    assert seal.seal() == 1
    settings.INSTALLATION_KEY = "another-key-of-more-than-32-characters"  # type: ignore[attr-defined]
    with pytest.raises(ExpectedError, match="another installation key"):
        bring_up(tmp_path)
    assert not InstallationKey.objects.exists()


def test_the_same_key_passes_again(tmp_path: Path) -> None:
    bring_up(tmp_path)
    bring_up(tmp_path)
    assert InstallationKey.objects.count() == 1


def test_a_newer_database_is_refused_with_a_clear_error() -> None:
    refuse_newer(connection)
    MigrationRecorder(connection).record_applied("clusters", "9999_from_the_future")
    with pytest.raises(ExpectedError, match=r"newer release .*clusters\.9999_from_the_future"):
        refuse_newer(connection)


def test_a_newer_migration_of_a_library_is_accepted() -> None:
    MigrationRecorder(connection).record_applied("guardian", "9999_from_the_future")
    refuse_newer(connection)
