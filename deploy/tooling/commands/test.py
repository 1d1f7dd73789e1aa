import sys

from django.core.management.base import BaseCommand

from deploy.tooling.tiers import run_tests


class Command(BaseCommand):
    help = "Run the tests. pytest gets all arguments."
    requires_system_checks = []

    def run_from_argv(self, argv: list[str]) -> None:
        # Django does not parse the arguments: all belong to pytest.
        sys.exit(run_tests(argv[2:]))
