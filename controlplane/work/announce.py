"""Telling workers that there is work: by the broker where one is configured, by PostgreSQL's NOTIFY otherwise.

Only a hint: what is due stands in the table, and every worker finds it there within seconds.
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
# A hint that nobody took in this time is of no use any more.
EXPIRES_SECONDS = 30
# Without time-outs, and with kombu's endless retries, a broker that went away would hang the sender.
_TRANSPORT: dict[str, dict[str, float]] = {
    "redis": {"socket_timeout": 2, "socket_connect_timeout": 2, "max_retries": 0},
    "filesystem": {"polling_interval": 0.1},
}


@cache
def broker() -> "Celery":
    """The Celery application of this process."""
    # Not at the top: half a second of imports that an installation without a broker never needs.
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
    """When the caller's transaction commits, and never if it does not. Never waits for the broker."""
    if settings.CELERY_BROKER_URL:
        transaction.on_commit(_hand_over, robust=True)
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, '')", [CHANNEL])


# Ends with the process, after the hint that it is sending.
_sender = ThreadPoolExecutor(1, thread_name_prefix="hints")
_handed_over = threading.Event()


def _hand_over() -> None:
    """One hint is as good as many: there is at most one that is not being sent yet."""
    if not _handed_over.is_set():
        _handed_over.set()
        _sender.submit(_send)


def _send() -> None:
    _handed_over.clear()
    try:
        broker().send_task(TASK, ignore_result=True, expires=EXPIRES_SECONDS, retry=False)  # type: ignore[no-untyped-call]
    except Exception as error:  # noqa: BLE001  each transport has errors of its own; the sweep finds the work
        log.warning("broker_away", error=str(error)[:200])
