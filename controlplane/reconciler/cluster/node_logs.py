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
from controlplane.provisioners.base import Permanent, Temporary
from controlplane.reconciler.cluster.scope import Scope
from controlplane.reconciler.cluster.snapshot import PlannedNode

log = structlog.get_logger(__name__)

KEPT_BYTES = 1024 * 1024
KEPT_FOR = timedelta(days=7)
KEPT_ATTEMPTS = 20
EVENTS_KEPT_FOR = timedelta(days=90)
# A log can be 1 MiB, an event is a line.
LOGS_PURGED_AT_ONCE = 200
EVENTS_PURGED_AT_ONCE = 5000
# All logs of one action are read in parallel and in this time, because the lease runs on.
KEEP_SECONDS = 4.0
READERS = 8
LOST = b"[the log of this node was lost with its machine]\n"
UNREAD = b"[the log of this node could not be read before the node was removed]\n"
# The reasons of nodes whose machine is gone.
MACHINE_GONE = frozenset({"NODE_LOST", "MACHINE_SILENT"})


def keep(scope: Scope, nodes: Sequence[PlannedNode]) -> None:
    """Store the ends of these nodes' logs before the nodes are removed. A log that cannot be read keeps no node."""
    pool, read = ThreadPoolExecutor(READERS, thread_name_prefix="logs"), scope.provisioner.logs
    try:
        answers = [
            (node, pool.submit(read, scope.ref, node.ref, tail_bytes=KEPT_BYTES))
            for node in nodes
            if node.observation is not None
        ]
        ends_at = time.monotonic() + KEEP_SECONDS
        for node, answer in answers:
            _keep(scope.cluster, node, answer, ends_at)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _keep(cluster: Cluster, node: PlannedNode, answer: "Future[bytes]", ends_at: float) -> None:
    key: dict[str, Any] = {"cluster": cluster, "run": node.run, "name": node.name, "attempt": node.attempt}
    try:
        end = answer.result(max(0.0, ends_at - time.monotonic()))
    except (Temporary, Permanent, TimeoutError) as error:
        log.warning("log_not_kept", cluster=str(cluster.id), node=node.name, error=str(error)[:200])
        why = LOST if node.observation and node.observation.reason in MACHINE_GONE else UNREAD
        NodeLog.objects.get_or_create(**key, defaults={"tail": gzip.compress(why, 3)})
        return
    kept = {"tail": gzip.compress(end, 3), "kept_at": timezone.now()}
    NodeLog.objects.update_or_create(**key, defaults=kept)
    # A node that ends again and again keeps the logs of its last attempts only.
    newest = NodeLog.objects.filter(cluster=cluster, name=node.name).order_by("-kept_at")
    old = newest.values_list("pk", flat=True)[KEPT_ATTEMPTS : KEPT_ATTEMPTS + 100]
    NodeLog.objects.filter(pk__in=list(old)).delete()


def purge() -> bool:
    """Drop logs and events that were kept long enough, a bounded number. Returns whether more are left."""
    now = timezone.now()
    old_logs = NodeLog.objects.filter(kept_at__lt=now - KEPT_FOR).order_by("kept_at").values("pk")
    logs = NodeLog.objects.filter(pk__in=old_logs[:LOGS_PURGED_AT_ONCE]).delete()[0]
    # Ids grow with time, so the oldest events are found without an index on their times.
    oldest = Event.objects.order_by("pk").values_list("pk", "at")[:EVENTS_PURGED_AT_ONCE]
    old_events = [pk for pk, at in oldest if at < now - EVENTS_KEPT_FOR]
    Event.objects.filter(pk__in=old_events).delete()
    return logs == LOGS_PURGED_AT_ONCE or len(old_events) == EVENTS_PURGED_AT_ONCE
