"""What a cluster holds of its tenant's limits, phase by phase."""

from dataclasses import replace

from controlplane.clusters.phases import Phase, Verb
from templates.schema import Launch
from tenants.amounts import Amounts

__all__ = ["Amounts", "ceiling", "needed"]


def ceiling(one: Launch, other: Launch) -> Amounts:
    """What both hold at most while one becomes the other: every group at its larger count."""
    counts = {group.name: group.count for group in other.groups}
    groups = tuple(replace(g, count=max(g.count, counts.get(g.name, 0))) for g in one.groups)
    return replace(one, groups=groups).takes


def needed(phase: str, verb: Verb, before: Launch, after: Launch) -> Amounts:
    """What has to be held before the verb may begin."""
    if verb is Verb.RESIZE and phase == Phase.STOPPED:
        return after.keeps
    return ceiling(before, after)
