import signal
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from prometheus_client import start_http_server

from controlplane.reconciler.site.watches import Watches


class Command(BaseCommand):
    help = (
        "Watch every site and write down what its nodes do, as it happens. Any number may run side by side; workers "
        "beside them are started with --no-observe. Without one everything is still found, minutes later."
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
                raise CommandError(
                    f"Metrics cannot be served at {address}:{port}: {error.strerror}."
                ) from error
        watches = Watches()

        def stop(number: int, frame: FrameType | None) -> None:
            watches.stop()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        watches.run()
