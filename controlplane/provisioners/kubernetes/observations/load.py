"""Reads what nodes are working on, by running their busy hooks in parallel and in bounded time."""

from collections.abc import Mapping, Sequence
from functools import partial

from controlplane.provisioners.base import ClusterRef, Load, NodeRef, Permanent, Temporary
from controlplane.provisioners.hook_output import count_or_none, last_json_object
from controlplane.provisioners.kubernetes.client.accounts import Accounts
from controlplane.provisioners.kubernetes.client.parallel import in_parallel
from controlplane.provisioners.kubernetes.objects import container_layout, names

SECONDS = 4.0
ANSWERS = {0: True, 1: False}
UNKNOWN = Load(busy=None)


def read_loads(accounts: Accounts, cluster: ClusterRef, nodes: Sequence[NodeRef]) -> Mapping[str, Load]:
    """Node name -> load; UNKNOWN for a node that did not answer in time."""
    loads = in_parallel([partial(_read_load, accounts, cluster, node) for node in nodes])
    return {node.name: load for node, load in zip(nodes, loads, strict=True)}


def _read_load(accounts: Accounts, cluster: ClusterRef, node: NodeRef) -> Load:
    namespace, name = names.namespace(cluster.tenant_id), names.pod(cluster.id, node.name)
    try:
        ran = accounts.run(namespace, name, [container_layout.BUSY], seconds=SECONDS)
    except (Temporary, Permanent):
        return UNKNOWN
    if ran.exit_code not in ANSWERS:
        return UNKNOWN
    return Load(ANSWERS[ran.exit_code], count_or_none(last_json_object(ran.stdout).get("tasks")))
