"""`manage.py audit verify`: verifies the chain of the audit and prints how new its newest seal is."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tenants.installation import WrongKey, key_check
from tenants.seal import Report, verify


class Command(BaseCommand):
    help = "Verifies that no sealed row of the audit was changed, removed, moved or inserted."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["verify"])
        parser.add_argument("--head", help='a "seq:digest" from the log, which must be part of the chain')

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            key_check()
        except WrongKey as error:
            raise CommandError(str(error)) from error
        report = verify(expected_head=options["head"])
        if not report.ok:
            raise CommandError("\n".join(["The chain of the audit is broken.", *report.problems]))
        self.stdout.write(_sentence(report))


def _sentence(report: Report) -> str:
    if report.newest_seal_at is None:
        return f"Nothing is sealed yet; {report.unsealed_rows} rows wait for a seal."
    newest = report.newest_seal_at.strftime("%Y-%m-%d %H:%M:%S UTC")
    return (
        f"The chain is whole: {report.sealed_rows} rows are sealed, the newest seal is of {newest}, "
        f"{report.unsealed_rows} rows wait for a seal. Head {report.head}"
    )
