import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError, connection
from prometheus_client import start_http_server

from controlplane.api import idempotency
from controlplane.metrics import peers
from controlplane.reconciler.worker import Chore, Worker
from controlplane.standalone.installation.environment import MARK
from controlplane.standalone.supervise.heartbeat import HEARTBEAT, beating
from controlplane.work.loop import THREADS
from tenants.installation import WrongKey, key_check

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    help = "Look after everything that is due: clusters, tenants, sites. Any number may run side by side."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--threads", type=int, default=THREADS, help="how many things to look after at once (%(default)s)"
        )
        parser.add_argument("--no-observe", action="store_true", help="leave watching the sites to others")
        parser.add_argument(
            "--metrics-port", type=int, help="serve this process's metrics to Prometheus there"
        )
        parser.add_argument("--metrics-address", default="127.0.0.1", help="(%(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            key_check()
        except WrongKey as error:
            raise CommandError(str(error)) from error
        except (DatabaseError, InterfaceError):
            # The loop waits for it. The seal checks the key again.
            connection.close()
            log.warning("key_not_checked")
        chores = [Chore("drop old idempotency keys", 300.0, idempotency.purge)]
        worker = Worker(
            threads=options["threads"], observe=not options["no_observe"], chores=chores, beat=_beat()
        )

        def stop(number: int, frame: FrameType | None) -> None:
            worker.stop()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        if settings.CELERY_BROKER_URL:
            from controlplane.celery import listen

            listen(worker.loop.nudge)
        _offer_metrics(options["metrics_address"], options["metrics_port"])
        worker.run()


def _beat() -> Callable[[], None]:
    """For the supervisor of `up`; another worker beside its own one must not beat in that one's place."""
    if MARK in os.environ:
        return beating(settings.DATA_DIR / "run" / HEARTBEAT)
    return lambda: None


def _offer_metrics(address: str, port: int | None) -> None:
    if port is not None:
        try:
            start_http_server(port, address)
        except OSError as error:
            raise CommandError(f"Metrics cannot be served at {address}:{port}: {error.strerror}.") from error
    folder = settings.DATA_DIR / "run"
    if folder.is_dir():
        # The web process of this data directory shows them with its own.
        try:
            peers.offer(folder, "worker")
        except OSError as error:
            log.warning("metrics_not_offered", error=str(error))
