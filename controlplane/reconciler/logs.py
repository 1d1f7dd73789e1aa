"""What nodes wrote: from the site while they are there, from the kept ends afterwards."""

import gzip
from collections.abc import Iterator, Sequence
from datetime import timedelta

import structlog
from django.utils import timezone

from controlplane.clusters.models import Cluster, Event, Node, NodeLog
from controlplane.provisioners.base import NodeRef, Permanent, Temporary
from controlplane.reconciler.scope import Scope, cluster_ref, site_of
from controlplane.reconciler.view import Place
from tenants.errors import NotFound

log = structlog.get_logger(__name__)

KEPT_BYTES = 1024 * 1024
KEPT_FOR = timedelta(days=7)
KEPT_BIRTHS = 20
EVENTS_KEPT_FOR = timedelta(days=90)
LOST = b"[the log of this node was lost with the machine it ran on]\n"


def keep(scope: Scope, places: Sequence[Place]) -> None:
    """Store the ends of these nodes' logs, before they go. A log that cannot be had is not worth keeping a node for."""
    for place in places:
        if place.sight is None:
            continue
        try:
            tail = scope.site.logs(scope.ref, NodeRef(place.name, place.birth), tail_bytes=KEPT_BYTES)
        except (Temporary, Permanent) as error:
            log.warning(
                "log_not_kept", cluster=str(scope.cluster.id), node=place.name, error=str(error)[:200]
            )
            NodeLog.objects.get_or_create(
                cluster=scope.cluster,
                run=place.run,
                name=place.name,
                birth=place.birth,
                defaults={"tail": gzip.compress(LOST, 3)},
            )
            continue
        NodeLog.objects.update_or_create(
            cluster=scope.cluster,
            run=place.run,
            name=place.name,
            birth=place.birth,
            defaults={"tail": gzip.compress(tail, 3), "kept_at": timezone.now()},
        )
        _drop_oldest(scope.cluster, place.name)


def _drop_oldest(cluster: Cluster, name: str) -> None:
    """A node that ends again and again keeps the logs of its last births alone."""
    kept = (
        NodeLog.objects.filter(cluster=cluster, name=name).order_by("-kept_at").values_list("pk", flat=True)
    )
    NodeLog.objects.filter(pk__in=list(kept[KEPT_BIRTHS : KEPT_BIRTHS + 100])).delete()


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
            cluster_ref(cluster), NodeRef(node.name, node.birth), tail_bytes=KEPT_BYTES
        )
    except (Temporary, Permanent) as error:
        return f"[the log cannot be read now: {error.message}]\n".encode()


def _kept(cluster: Cluster, node_name: str, *, must_exist: bool) -> bytes:
    kept = NodeLog.objects.filter(cluster=cluster, name=node_name).order_by("-run", "-birth").first()
    if kept is None and must_exist:
        raise NotFound()
    return gzip.decompress(bytes(kept.tail)) if kept else b""


def follow(cluster: Cluster, node_name: str) -> Iterator[bytes]:
    """What the node writes from now on; b"" about once a second, so that the caller can stop. Raises NotFound."""
    node = _node(cluster, node_name)
    if node is None:
        raise NotFound()
    return site_of(cluster).follow(cluster_ref(cluster), NodeRef(node.name, node.birth))


def purge() -> int:
    """Drop the logs and events that were kept long enough; how many."""
    now = timezone.now()
    logs = NodeLog.objects.filter(kept_at__lt=now - KEPT_FOR).delete()[0]
    return logs + Event.objects.filter(at__lt=now - EVENTS_KEPT_FOR).delete()[0]
