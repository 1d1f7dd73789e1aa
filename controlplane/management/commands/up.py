import argparse
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from controlplane.standalone.installation.datadir import default_root
from controlplane.standalone.installation.errors import ExpectedError
from controlplane.standalone.up import Options, up
from controlplane.standalone.web.ports import DEFAULT_PORT


class Command(BaseCommand):
    help = "Run Slipway on this machine: database, web, worker and the local site, until Ctrl-C."
    requires_system_checks = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--data-dir", type=Path, default=default_root(), help="where everything is kept (%(default)s)"
        )
        parser.add_argument("--port", type=port, default=DEFAULT_PORT, help="on 127.0.0.1 (%(default)s)")
        parser.add_argument("--no-browser", action="store_true", help="do not open a browser")
        parser.add_argument("--production-check", action="store_true", help="refuse insecure settings")

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = Options(
            data_dir=options["data_dir"],
            port=options["port"],
            browser=not options["no_browser"],
            production_check=options["production_check"],
        )
        try:
            up(chosen)
        except ExpectedError as error:
            sys.exit(str(error))


def port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 65535):
        raise argparse.ArgumentTypeError("use a number from 1 to 65535")
    return int(text)
