"""What nodes are working on, asked of their busy hooks: all at once, within a bound."""

from collections.abc import Mapping, Sequence
from functools import partial

from controlplane.provisioners.base import ClusterRef, Load, NodeRef, Permanent, Temporary
from controlplane.provisioners.hook_output import count_or_none, last_json_object
from controlplane.provisioners.kubernetes import inside, names
from controlplane.provisioners.kubernetes.accounts import Accounts
from controlplane.provisioners.kubernetes.together import all_of

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
        ran = accounts.run(place, name, [inside.BUSY], seconds=SECONDS)
    except (Temporary, Permanent):
        return UNKNOWN
    if ran.exit_code not in ANSWERS:
        return UNKNOWN
    return Load(ANSWERS[ran.exit_code], count_or_none(last_json_object(ran.stdout).get("tasks")))
