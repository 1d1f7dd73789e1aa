import argparse
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from controlplane.management.commands.up import port
from controlplane.standalone.attach import chosen_installation
from controlplane.standalone.doctor.check_result import as_json, show
from controlplane.standalone.doctor.examine import examine
from controlplane.standalone.installation.datadir import default_root
from controlplane.standalone.installation.errors import ExpectedError


class Command(BaseCommand):
    help = "List each part that Slipway needs or can use as ok, missing or unsafe, with what to do."
    requires_system_checks = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--data-dir", type=Path, help=f"(the installation that runs, or {default_root()})"
        )
        parser.add_argument("--port", type=port, help="(that of the running installation, or 8000)")
        parser.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            root = (options["data_dir"] or chosen_installation() or default_root()).absolute()
        except ExpectedError as error:
            raise CommandError(str(error)) from error
        parts = examine(root, options["port"])
        if options["json"]:
            self.stdout.write(as_json(parts))
        else:
            show(parts)
        sys.exit(any(part.hinders for part in parts))
