import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from controlplane.standalone.installation.environment import ROOT
from deploy.tooling.checks import run_checks
from deploy.tooling.shape import PRODUCT, measure


class Command(BaseCommand):
    help = "Check style, types, layers, migrations and settings."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--shape",
            action="store_true",
            help="print instead how the product is cut: lengths, helpers with one caller, docstrings; checks nothing",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["shape"]:
            self.stdout.write(measure([ROOT / folder for folder in PRODUCT]).report(ROOT))
            return
        sys.exit(run_checks())
