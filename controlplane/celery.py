"""With a broker configured, a worker is a Celery worker too. Its only task is a hint that a work item is due."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog
from django.conf import settings

from controlplane.work.announce import TASK, broker

log = structlog.get_logger(__name__)

# Seconds between two attempts to connect to a broker that does not answer.
PAUSE_SECONDS = 1.0
# kombu's filesystem transport fails when one of these folders does not exist.
_FOLDERS = ("data_folder_in", "data_folder_out", "control_folder", "processed_folder")


def listen(nudge: Callable[[], None]) -> threading.Thread:
    """Receive hints from the broker in a thread of this process, and call `nudge` for each. It reconnects for ever."""

    def work_is_due() -> None:
        nudge()

    broker().task(name=TASK)(work_is_due)  # type: ignore[no-untyped-call]
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
        except Exception as error:  # noqa: BLE001  each transport raises its own errors
            log.warning("broker_away", error=str(error)[:200])
        # Hints may have been lost while the broker was away.
        nudge()
        time.sleep(PAUSE_SECONDS)


def _make_folders() -> None:
    if settings.CELERY_BROKER_URL.startswith("filesystem:"):
        for name in _FOLDERS:
            if folder := settings.CELERY_TRANSPORT_OPTIONS.get(name):
                Path(folder).mkdir(parents=True, exist_ok=True)
