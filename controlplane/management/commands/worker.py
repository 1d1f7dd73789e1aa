import signal
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from controlplane.api import idempotency
from controlplane.reconciler.worker import PURGE_SECONDS, Chore, Worker


class Command(BaseCommand):
    help = "Look after everything that is due: clusters, tenants, sites. Any number may run side by side."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--threads", type=int, default=4, help="how many things to look after at once")
        parser.add_argument("--no-observe", action="store_true", help="leave watching the sites to others")

    def handle(self, *args: Any, **options: Any) -> None:
        chores = [Chore("drop old idempotency keys", PURGE_SECONDS, idempotency.purge)]
        worker = Worker(threads=options["threads"], observe=not options["no_observe"], chores=chores)

        def stop(number: int, frame: FrameType | None) -> None:
            worker.stop()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        if settings.CELERY_BROKER_URL:
            from controlplane.celery import listen

            listen(worker.loop.nudge)
        worker.run()
