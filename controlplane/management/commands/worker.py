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
from controlplane.standalone.supervise.heartbeat import HEARTBEAT, start_heartbeat
from controlplane.work.loop import THREADS
from tenants.installation import WrongKey, key_check

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    help = "Handle the work that is due for clusters, tenants and sites. Several workers may run at the same time."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--threads", type=int, default=THREADS, help="how many work items to handle at once (%(default)s)"
        )
        parser.add_argument(
            "--no-observe", action="store_true", help="do not watch the sites; `observe` processes do"
        )
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
            # The loop waits for the database, and the audit seal checks the key again.
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
    """Returns the worker's heartbeat. Only the worker of `up` has one: a second worker must not hide its silence."""
    if MARK in os.environ:
        return start_heartbeat(settings.DATA_DIR / "run" / HEARTBEAT)
    return lambda: None


def _offer_metrics(address: str, port: int | None) -> None:
    if port is not None:
        try:
            start_http_server(port, address)
        except OSError as error:
            raise CommandError(f"Cannot serve metrics at {address}:{port}: {error.strerror}.") from error
    folder = settings.DATA_DIR / "run"
    if folder.is_dir():
        # The web process of this data directory includes them in its /metrics.
        try:
            peers.offer(folder, "worker")
        except OSError as error:
            log.warning("metrics_not_offered", error=str(error))
