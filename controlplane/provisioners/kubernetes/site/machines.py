"""Reads the sizes of the machines on which nodes may run, by one LIST."""

from collections.abc import Mapping
from typing import Any

from controlplane.provisioners.base import Capacity, NotYet, Permanent, capacity_of
from controlplane.provisioners.kubernetes.client.accounts import Accounts
from controlplane.provisioners.kubernetes.objects import paths
from controlplane.provisioners.kubernetes.objects.body import Body
from controlplane.provisioners.kubernetes.objects.pods import GPU
from controlplane.provisioners.kubernetes.settings import Placement, SiteSettings
from tenants.amounts import Amounts, parse_bytes, parse_count, parse_cpu

# Prefix of taints that Kubernetes sets for a while. They say nothing about the size of a machine.
PASSING = "node.kubernetes.io/"
HARD = frozenset({"NoSchedule", "NoExecute"})


def capacity(accounts: Accounts, settings: SiteSettings) -> Mapping[str, Capacity]:
    """App -> capacity; "" for apps without a placement of their own. Empty when autoscaled or unreadable."""
    if settings.autoscaled:
        return {}
    try:
        machines = accounts.client("observe").list(paths.nodes()).items
    except (NotYet, Permanent):
        # The account may lack this right. The site works without it.
        return {}
    found = {}
    for app in ("", *settings.apps):
        placement = settings.placement(app)
        fitting = [_allocatable(machine) for machine in machines if _may_hold(machine, placement)]
        found[app] = capacity_of(fitting, overcommitted=False)
    return found


def _may_hold(machine: Body, placement: Placement) -> bool:
    labels = machine["metadata"].get("labels") or {}
    chosen = all(labels.get(name) == value for name, value in placement.node_selector.items())
    taints = machine.get("spec", {}).get("taints") or ()
    hard = (
        taint
        for taint in taints
        if taint.get("effect") in HARD and not str(taint.get("key", "")).startswith(PASSING)
    )
    return chosen and all(any(_tolerates(one, taint) for one in placement.tolerations) for taint in hard)


def _tolerates(toleration: Mapping[str, Any], taint: Body) -> bool:
    """As the API reference defines it: no key with Exists matches all taints, no effect matches every effect."""
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
