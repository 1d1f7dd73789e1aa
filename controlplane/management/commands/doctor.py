import argparse
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from controlplane.management.commands.up import port
from controlplane.standalone import doctor
from controlplane.standalone.datadir import default_root


class Command(BaseCommand):
    help = "List each part that Slipway needs or can use as ok, missing or unsafe, with what to do."
    requires_system_checks = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--data-dir", type=Path, default=default_root(), help="(%(default)s)")
        parser.add_argument("--port", type=port, default=8000, help="(%(default)s)")
        parser.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        parts = doctor.examine(options["data_dir"].absolute(), options["port"])
        if options["json"]:
            self.stdout.write(doctor.as_json(parts))
        else:
            doctor.show(parts)
        sys.exit(any(part.hinders for part in parts))
