"""The actions that a reconcile pass may execute at a site. Pure."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from controlplane.provisioners.base import NodeRef
from controlplane.reconciler.node_names import NodeName


class ActionKind(StrEnum):
    LOOK = "look"
    LOAD = "load"
    ENSURE = "ensure"
    APPLY = "apply"
    DRAIN = "drain"
    END_RUN = "end_run"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Orphans:
    """What exists at the site although no planned node accounts for it.

    attempts: alive in the current run. volumes: of names in the cluster's groups that have no node.
    """

    attempts: tuple[NodeRef, ...] = ()
    volumes: tuple[NodeName, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.attempts or self.volumes)


@dataclass(frozen=True, slots=True)
class Action:
    """One idempotent call at a site, and everything that it depends on.

    run: ENSURE isolates the tenant for this run, APPLY makes nodes of it, END_RUN ends it and all earlier runs.
    nodes: the attempts that the action concerns. orphans, drift: what APPLY removes and repairs besides.
    link_version: of the links that APPLY gives to the nodes. force: END_RUN and REMOVE leave no grace period.
    """

    kind: ActionKind
    run: int = 0
    nodes: tuple[NodeRef, ...] = ()
    orphans: Orphans = Orphans()
    drift: tuple[str, ...] = ()
    link_version: int = 0
    force: bool = False

    @property
    def names(self) -> frozenset[str]:
        return frozenset(node.name for node in self.nodes)

    @property
    def reads(self) -> bool:
        """Whether the action changes nothing at the site."""
        return self.kind in {ActionKind.LOOK, ActionKind.LOAD}

    @property
    def token(self) -> str:
        """At most 100 characters. Two actions with the same token do the same. Only compared, never parsed."""
        match self.kind:
            case ActionKind.LOOK | ActionKind.LOAD:
                parts = []
            case ActionKind.ENSURE:
                parts = [str(self.run)]
            case ActionKind.APPLY:
                parts = [str(self.run), str(self.link_version), self._digest()]
            case ActionKind.DRAIN:
                parts = [self._digest()]
            case ActionKind.END_RUN:
                parts = [str(self.run), str(self.force)]
            case ActionKind.REMOVE:
                parts = [str(self.force)]
        return ":".join([self.kind, *parts])

    def _digest(self) -> str:
        lines = [
            *(f"node {node.name} {node.attempt}" for node in self.nodes),
            *(f"orphan {node.name} {node.attempt}" for node in self.orphans.attempts),
            *(f"volume {name}" for name in self.orphans.volumes),
            *(f"drift {words}" for words in self.drift),
        ]
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]
