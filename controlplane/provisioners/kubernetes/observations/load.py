"""What nodes are working on, asked of their busy hooks: all at once, within a bound."""

from collections.abc import Mapping, Sequence
from functools import partial

from controlplane.provisioners.answers import count, facts
from controlplane.provisioners.base import ClusterRef, Load, NodeRef, Permanent, Temporary
from controlplane.provisioners.kubernetes.client.accounts import Accounts
from controlplane.provisioners.kubernetes.client.parallel import all_of
from controlplane.provisioners.kubernetes.objects import container_layout, names

SECONDS = 4.0
ANSWERS = {0: True, 1: False}
UNKNOWN = Load(busy=None)


def ask(accounts: Accounts, cluster: ClusterRef, nodes: Sequence[NodeRef]) -> Mapping[str, Load]:
    """By name; UNKNOWN for whom no answer came in time."""
    loads = all_of([partial(_ask, accounts, cluster, node) for node in nodes])
    return {node.name: load for node, load in zip(nodes, loads, strict=True)}


def _ask(accounts: Accounts, cluster: ClusterRef, node: NodeRef) -> Load:
    place, name = names.namespace(cluster.tenant_id), names.pod(cluster.id, node.name)
    try:
        ran = accounts.run(place, name, [container_layout.BUSY], seconds=SECONDS)
    except (Temporary, Permanent):
        return UNKNOWN
    if ran.exit_code not in ANSWERS:
        return UNKNOWN
    return Load(ANSWERS[ran.exit_code], count(facts(ran.stdout).get("tasks")))
