import sys

from django.core.management.base import BaseCommand

from deploy.tooling.tiers import run_tests


class Command(BaseCommand):
    help = "Run the tests; every argument is pytest's."
    requires_system_checks = []

    def run_from_argv(self, argv: list[str]) -> None:
        # Not parsed here: all options belong to pytest.
        sys.exit(run_tests(argv[2:]))
