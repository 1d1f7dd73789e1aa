import signal
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from prometheus_client import start_http_server

from controlplane.reconciler.site.watches import Watches


class Command(BaseCommand):
    help = (
        "Watch every site and record what its nodes do, as it happens. Several may run at the same time; start the "
        "workers then with --no-observe. If no process watches, workers find every change minutes later."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--metrics-port", type=int, help="serve this process's metrics to Prometheus there"
        )
        parser.add_argument("--metrics-address", default="127.0.0.1", help="(%(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        address, port = options["metrics_address"], options["metrics_port"]
        if port is not None:
            try:
                start_http_server(port, address)
            except OSError as error:
                raise CommandError(f"Cannot serve metrics at {address}:{port}: {error.strerror}.") from error
        watches = Watches()

        def stop(number: int, frame: FrameType | None) -> None:
            watches.stop()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        watches.run()
