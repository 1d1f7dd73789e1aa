"""What nodes wrote: from the site while they are there, from the kept ends afterwards."""

import gzip
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import structlog
from django.utils import timezone

from controlplane.clusters.models import Cluster, Event, Node, NodeLog
from controlplane.provisioners.base import NodeRef, Permanent, Temporary
from controlplane.reconciler.cluster.scope import Scope, cluster_ref, site_of
from controlplane.reconciler.cluster.snapshot import Place
from tenants.errors import NotFound

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


def tail(cluster: Cluster, node_name: str, lines: int) -> bytes:
    """The last lines of a node, of its last incarnation where it is gone. Raises NotFound."""
    node = _node(cluster, node_name)
    text = _live(cluster, node) if node else b""
    if not text:
        text = _kept(cluster, node_name, must_exist=node is None)
    return b"".join(text.splitlines(keepends=True)[-lines:])


def _node(cluster: Cluster, name: str) -> Node | None:
    if not name.isprintable():
        raise NotFound()
    return cluster.nodes.filter(name=name).first()


def _live(cluster: Cluster, node: Node) -> bytes:
    try:
        return site_of(cluster).logs(
            cluster_ref(cluster), NodeRef(node.name, node.attempt), tail_bytes=KEPT_BYTES
        )
    except (Temporary, Permanent) as error:
        return _unreadable(error)


def _unreadable(error: Temporary | Permanent) -> bytes:
    return f"[the log cannot be read now: {error.message}]\n".encode()


def _kept(cluster: Cluster, node_name: str, *, must_exist: bool) -> bytes:
    kept = NodeLog.objects.filter(cluster=cluster, name=node_name).order_by("-run", "-attempt").first()
    if kept is None and must_exist:
        raise NotFound()
    return gzip.decompress(bytes(kept.tail)) if kept else b""


def follow(cluster: Cluster, node_name: str) -> Iterator[bytes]:
    """What the node writes from now on; b"" about once a second, so that the caller can stop. Raises NotFound."""
    node = _node(cluster, node_name)
    if node is None:
        raise NotFound()
    return _followed(cluster, node)


def _followed(cluster: Cluster, node: Node) -> Iterator[bytes]:
    try:
        yield from site_of(cluster).follow(cluster_ref(cluster), NodeRef(node.name, node.attempt))
    except (Temporary, Permanent) as error:
        yield _unreadable(error)


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
