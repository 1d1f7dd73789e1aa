"""Keeps the ends of nodes' logs before the nodes go, and removes old ones; `inspection.logs` reads them."""

import gzip
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import structlog
from django.utils import timezone

from controlplane.clusters.models import Cluster, Event, NodeLog
from controlplane.provisioners.base import NodeRef, Permanent, Temporary
from controlplane.reconciler.scope import Scope
from controlplane.reconciler.view import Place

log = structlog.get_logger(__name__)

KEPT_BYTES = 1024 * 1024
KEPT_FOR = timedelta(days=7)
KEPT_ATTEMPTS = 20
EVENTS_KEPT_FOR = timedelta(days=90)
# A log can be 1 MiB, an event is a line.
LOGS_PURGED_AT_ONCE = 200
EVENTS_PURGED_AT_ONCE = 5000
# All logs of one act are read at once and within this time: an act that is late may be told to another worker too.
KEEP_SECONDS = 4.0
READERS = 8
LOST = b"[the log of this node was lost with the machine it ran on]\n"
UNREAD = b"[the log of this node could not be read when it went]\n"
# What sites say of a node whose machine is gone.
MACHINE_GONE = frozenset({"NODE_LOST", "MACHINE_SILENT"})


def keep(scope: Scope, places: Sequence[Place]) -> None:
    """Store the ends of these nodes' logs, before they go. A log that cannot be had is not worth keeping a node for."""
    pool, read = ThreadPoolExecutor(READERS, thread_name_prefix="logs"), scope.site.logs
    try:
        answers = [
            (place, pool.submit(read, scope.ref, NodeRef(place.name, place.attempt), tail_bytes=KEPT_BYTES))
            for place in places
            if place.observation is not None
        ]
        ends = time.monotonic() + KEEP_SECONDS
        for place, answer in answers:
            _keep(scope.cluster, place, answer, ends)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _keep(cluster: Cluster, place: Place, answer: "Future[bytes]", ends: float) -> None:
    whose: dict[str, Any] = {
        "cluster": cluster,
        "run": place.run,
        "name": place.name,
        "attempt": place.attempt,
    }
    try:
        tail = answer.result(max(0.0, ends - time.monotonic()))
    except (Temporary, Permanent, TimeoutError) as error:
        log.warning("log_not_kept", cluster=str(cluster.id), node=place.name, error=str(error)[:200])
        why = LOST if place.observation and place.observation.reason in MACHINE_GONE else UNREAD
        NodeLog.objects.get_or_create(**whose, defaults={"tail": gzip.compress(why, 3)})
        return
    kept = {"tail": gzip.compress(tail, 3), "kept_at": timezone.now()}
    NodeLog.objects.update_or_create(**whose, defaults=kept)
    _drop_oldest(cluster, place.name)


def _drop_oldest(cluster: Cluster, name: str) -> None:
    """A node that ends again and again keeps the logs of its last attempts alone."""
    kept = (
        NodeLog.objects.filter(cluster=cluster, name=name).order_by("-kept_at").values_list("pk", flat=True)
    )
    NodeLog.objects.filter(pk__in=list(kept[KEPT_ATTEMPTS : KEPT_ATTEMPTS + 100])).delete()


def purge() -> bool:
    """Drop logs and events that were kept long enough, a bounded number. Returns whether more are left."""
    now = timezone.now()
    old_logs = NodeLog.objects.filter(kept_at__lt=now - KEPT_FOR).order_by("kept_at").values("pk")
    logs = NodeLog.objects.filter(pk__in=old_logs[:LOGS_PURGED_AT_ONCE]).delete()[0]
    # Ids grow with time, so that the oldest events are found without an index on their times.
    oldest = Event.objects.order_by("pk").values_list("pk", "at")[:EVENTS_PURGED_AT_ONCE]
    old_events = [pk for pk, at in oldest if at < now - EVENTS_KEPT_FOR]
    Event.objects.filter(pk__in=old_events).delete()
    return logs == LOGS_PURGED_AT_ONCE or len(old_events) == EVENTS_PURGED_AT_ONCE
