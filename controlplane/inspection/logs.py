"""The logs of nodes: from the site while a node exists, from the kept end afterwards."""

import gzip
from collections.abc import Iterator

from controlplane.clusters.models import Cluster, Node, NodeLog
from controlplane.provisioners.base import NodeRef, Permanent, Temporary
from controlplane.reconciler.cluster.node_logs import KEPT_BYTES
from controlplane.reconciler.cluster.scope import cluster_ref
from controlplane.reconciler.site.provisioning import provisioner_of
from tenants.errors import NotFound


def tail(cluster: Cluster, node_name: str, lines: int) -> bytes:
    """The last lines of a node; of a node that is gone, of its last attempt. Raises NotFound.

    Where the site cannot be read, the answer is a line in brackets that says so.
    """
    node = _node(cluster, node_name)
    text = b""
    if node is not None:
        try:
            text = provisioner_of(cluster.site).logs(cluster_ref(cluster), _ref(node), tail_bytes=KEPT_BYTES)
        except (Temporary, Permanent) as error:
            text = _unreadable(error)
    if not text:
        kept = NodeLog.objects.filter(cluster=cluster, name=node_name).order_by("-run", "-attempt").first()
        if kept is None and node is None:
            raise NotFound()
        text = gzip.decompress(bytes(kept.tail)) if kept else b""
    return b"".join(text.splitlines(keepends=True)[-lines:])


def follow(cluster: Cluster, node_name: str) -> Iterator[bytes]:
    """What the node writes from now on. Yields b"" about once a second, so that the caller can stop. Raises NotFound.

    Where the site cannot be read, the last piece is a line in brackets that says so.
    """
    node = _node(cluster, node_name)
    if node is None:
        raise NotFound()
    return _followed(cluster, node)


def _followed(cluster: Cluster, node: Node) -> Iterator[bytes]:
    try:
        yield from provisioner_of(cluster.site).follow(cluster_ref(cluster), _ref(node))
    except (Temporary, Permanent) as error:
        yield _unreadable(error)


def _node(cluster: Cluster, name: str) -> Node | None:
    if not name.isprintable():
        raise NotFound()
    return cluster.nodes.filter(name=name).first()


def _ref(node: Node) -> NodeRef:
    return NodeRef(node.name, node.attempt)


def _unreadable(error: Temporary | Permanent) -> bytes:
    return f"[the log cannot be read now: {error.message}]\n".encode()
