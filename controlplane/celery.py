"""Where a broker is configured, a worker is a Celery worker too: its one task is a hint to look into the table."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog
from django.conf import settings

from controlplane.work.announce import TASK, broker

log = structlog.get_logger(__name__)

# Between two tries to listen, while the broker is away.
PAUSE_SECONDS = 1.0
# kombu's filesystem transport needs its folders to be there, and dies when they go.
_FOLDERS = ("data_folder_in", "data_folder_out", "control_folder", "processed_folder")


def listen(nudge: Callable[[], None]) -> threading.Thread:
    """Take hints from the broker in a thread of this process, and call `nudge` for each; never gives up."""

    def there_is_work() -> None:
        nudge()

    broker().task(name=TASK)(there_is_work)  # type: ignore[no-untyped-call]
    thread = threading.Thread(target=_consume, args=[nudge], name="celery", daemon=True)
    thread.start()
    return thread


def _consume(nudge: Callable[[], None]) -> None:
    while True:
        try:
            _make_folders()
            broker().Worker(
                pool="solo",
                concurrency=1,
                hostname=f"slipway-{os.getpid()}@%h",
                quiet=True,
                without_gossip=True,
                without_mingle=True,
                without_heartbeat=True,
            ).start()
        except Exception as error:  # noqa: BLE001  each transport has errors of its own
            log.warning("broker_away", error=str(error)[:200])
        # Hints may have been lost with it.
        nudge()
        time.sleep(PAUSE_SECONDS)


def _make_folders() -> None:
    if settings.CELERY_BROKER_URL.startswith("filesystem:"):
        for name in _FOLDERS:
            if folder := settings.CELERY_TRANSPORT_OPTIONS.get(name):
                Path(folder).mkdir(parents=True, exist_ok=True)
