import sys
from typing import Any

from django.core.management.base import BaseCommand

from deploy.tooling.checks import run_checks


class Command(BaseCommand):
    help = "Check style, types, layers, migrations and settings."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        sys.exit(run_checks())
