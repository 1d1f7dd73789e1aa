"""How large the machines are that nodes may be on, told by one listing of them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from controlplane.provisioners.base import Capacity, NotYet, Permanent, capacity_of
from controlplane.provisioners.kubernetes.client.accounts import Accounts
from controlplane.provisioners.kubernetes.objects import paths
from controlplane.provisioners.kubernetes.objects.body import Body
from controlplane.provisioners.kubernetes.objects.pods import GPU
from controlplane.provisioners.kubernetes.settings import Placement, SiteSettings
from tenants.amounts import Amounts, parse_bytes, parse_count, parse_cpu

# Kubernetes itself sets these, and takes them away again: they say nothing of how large a machine is.
PASSING = "node.kubernetes.io/"
HARD = frozenset({"NoSchedule", "NoExecute"})


def capacity(accounts: Accounts, settings: SiteSettings) -> Mapping[str, Capacity]:
    """By app, "" for those that are placed like all others. Empty where machines cannot be listed, or come and go."""
    if settings.autoscaled:
        return {}
    try:
        machines = accounts.client("observe").list(paths.nodes()).items
    except (NotYet, Permanent):
        # This one right is for this alone, and a site does without it.
        return {}
    return {app: _of(machines, settings.placement(app)) for app in ("", *settings.apps)}


def _of(machines: Iterable[Body], placement: Placement) -> Capacity:
    fitting = [machine for machine in machines if _may_hold(machine, placement)]
    return capacity_of([_allocatable(machine) for machine in fitting], overcommitted=False)


def _may_hold(machine: Body, placement: Placement) -> bool:
    labels = machine["metadata"].get("labels") or {}
    chosen = all(labels.get(name) == value for name, value in placement.node_selector.items())
    taints = machine.get("spec", {}).get("taints") or ()
    return chosen and all(
        any(_tolerates(one, taint) for one in placement.tolerations) for taint in _hard(taints)
    )


def _hard(taints: Iterable[Body]) -> Iterator[Body]:
    for taint in taints:
        if taint.get("effect") in HARD and not str(taint.get("key", "")).startswith(PASSING):
            yield taint


def _tolerates(toleration: Mapping[str, Any], taint: Body) -> bool:
    """As in the API's reference: no key with Exists matches all, no effect matches every effect."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint.get("key"))
    return (toleration.get("key"), toleration.get("value", "")) == (taint.get("key"), taint.get("value", ""))


def _allocatable(machine: Body) -> Amounts:
    has = machine.get("status", {}).get("allocatable") or {}
    return Amounts(
        cpu=parse_cpu(has.get("cpu", "0")),
        memory=parse_bytes(has.get("memory", "0")),
        gpu=parse_count(int(has.get(GPU, 0))),
    )
