"""Hints that tell workers that something is due: by the broker where one is configured, by NOTIFY otherwise.

A hint may be lost: the table says what is due, and every worker finds it there in a few seconds.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING

import structlog
from django.conf import settings
from django.db import connection, transaction

if TYPE_CHECKING:
    from celery import Celery

log = structlog.get_logger(__name__)

CHANNEL = "slipway_work"
TASK = "slipway.there_is_work"
QUEUE = "slipway"
# A hint is of no use after this time: the sweep has found the work.
EXPIRES_SECONDS = 30
# Without these time-outs, kombu retries for ever and hangs the sender while the broker is away.
_TRANSPORT: dict[str, dict[str, float]] = {
    "redis": {"socket_timeout": 2, "socket_connect_timeout": 2, "max_retries": 0},
    "filesystem": {"polling_interval": 0.1},
}


@cache
def broker() -> "Celery":
    """The Celery application of this process."""
    # Imported here, because it takes half a second, and an installation without a broker never needs it.
    from celery import Celery

    url = settings.CELERY_BROKER_URL
    app = Celery("slipway", broker=url, set_as_current=False)  # type: ignore[no-untyped-call]
    app.conf.update(
        task_ignore_result=True,
        task_default_queue=QUEUE,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_enable_remote_control=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options=_TRANSPORT.get(url.split(":")[0], {}) | settings.CELERY_TRANSPORT_OPTIONS,
    )
    return app


def announce() -> None:
    """Send a hint when the caller's transaction commits. Never waits for the broker."""
    if settings.CELERY_BROKER_URL:
        transaction.on_commit(_send_soon, robust=True)
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, '')", [CHANNEL])


# Its thread ends with the process, after the hint that it is sending.
_sender = ThreadPoolExecutor(1, thread_name_prefix="hints")
_queued = threading.Event()


def _send_soon() -> None:
    """Send a hint in a thread. One hint is as good as many, so at most one is queued."""
    if not _queued.is_set():
        _queued.set()
        _sender.submit(_send)


def _send() -> None:
    _queued.clear()
    try:
        broker().send_task(TASK, ignore_result=True, expires=EXPIRES_SECONDS, retry=False)  # type: ignore[no-untyped-call]
    except Exception as error:  # noqa: BLE001 - each transport has errors of its own, and the sweep finds the work
        log.warning("broker_away", error=str(error)[:200])
