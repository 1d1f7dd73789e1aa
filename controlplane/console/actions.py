"""The buttons of a cluster: all of them always, and for each that cannot be used now the reason."""

from dataclasses import dataclass
from typing import Final

from django.urls import reverse

from controlplane.clusters.access import is_mine, operate
from controlplane.clusters.models import Cluster, Operation
from controlplane.clusters.phases import Phase, Verb
from controlplane.clusters.services.cancel import CANCELLABLE
from controlplane.clusters.services.verbs import require_possible
from tenants.access import Access
from tenants.errors import Conflict, NeedsRole

NOTES: Final = {
    "start": "Starts all nodes again, with the data that was kept.",
    "stop": "Ends all nodes. Notebooks, data and the name are kept.",
    "restart": "Replaces every node with a fresh one.",
    "resize": "Adds nodes, or drains some and takes them away.",
    "delete": "Ends all nodes and deletes the data, for good.",
    "cancel": "Gives up what is under way.",
}
UNFITTING: Final = {
    Verb.START: "Possible when it is stopped or failed.",
    Verb.STOP: "It is not running.",
    Verb.RESTART: "Possible when it is ready.",
    Verb.RESIZE: "Possible when it is ready or stopped.",
    Verb.DELETE: "It is deleted already.",
}
# These lead to a page of their own that asks something first.
ASKING: Final = frozenset({"resize", "delete"})


@dataclass(frozen=True, slots=True)
class Action:
    """reason: why it cannot be used, "" when it can. url: to POST to, or where asks, to open."""

    name: str
    label: str
    note: str
    url: str
    reason: str = ""
    force: bool = False

    @property
    def asks(self) -> bool:
        return self.name in ASKING


def actions(access: Access, cluster: Cluster, live: Operation | None) -> list[Action]:
    """In the order of a cluster's life. URLs go by id: by the time of the click the name may be another cluster's."""
    return [_action(access, cluster, live, verb) for verb in Verb if verb in NOTES] + [
        _cancel(access, cluster, live)
    ]


def _action(access: Access, cluster: Cluster, live: Operation | None, verb: Verb) -> Action:
    hurry = verb is Verb.STOP and live is not None and live.kind == Verb.STOP and not cluster.force
    reason = _not_yours(access, cluster) or ("" if hurry else _not_now(access, cluster, live, verb))
    return Action(
        name=verb,
        label=_label(cluster, verb, hurry),
        note="Ends the nodes at once, without waiting for their work." if hurry else NOTES[verb],
        url=_url(access, cluster, verb),
        reason=reason,
        force=hurry,
    )


def _cancel(access: Access, cluster: Cluster, live: Operation | None) -> Action:
    reason = _not_yours(access, cluster)
    if not reason and live is None:
        reason = "Nothing is under way."
    elif not reason and live is not None and live.kind not in CANCELLABLE:
        reason = f"A {live.kind} cannot be cancelled; it goes on until it is done."
    what = f"Cancel the {live.kind}" if live and live.kind in CANCELLABLE else "Cancel"
    return Action("cancel", what, NOTES["cancel"], _url(access, cluster, "cancel"), reason)


def _not_yours(access: Access, cluster: Cluster) -> str:
    try:
        operate(access, cluster)
    except NeedsRole as refusal:
        whose = "Needs" if is_mine(access, cluster) else "Not yours; needs"
        return f"{whose} the role {refusal.extra['role']}."
    return ""


def _not_now(access: Access, cluster: Cluster, live: Operation | None, verb: Verb) -> str:
    """In fewer words than the refusal that the verb itself would get."""
    if live is not None and (live.kind == verb or (verb is Verb.START and live.kind == Verb.CREATE)):
        return "Already under way."
    try:
        require_possible(access, cluster, live, verb)
    except Conflict as refusal:
        if live is not None and refusal.reason == "OPERATION_IN_PROGRESS":
            return f"After the {live.kind} that is under way."
        return UNFITTING[verb] if refusal.reason == "WRONG_PHASE" else refusal.detail
    return ""


def _label(cluster: Cluster, verb: Verb, hurry: bool) -> str:
    if verb is Verb.START and cluster.phase == Phase.FAILED:
        return "Retry"
    if hurry:
        return "Stop now"
    return f"{verb.capitalize()}…" if verb in ASKING else verb.capitalize()


def _url(access: Access, cluster: Cluster, verb: str) -> str:
    kwargs = {"tenant": access.tenant.name, "cluster": cluster.id}
    if verb in ASKING:
        return reverse(f"console:{verb}", kwargs=kwargs)
    return reverse("console:verb", kwargs={**kwargs, "verb": verb})
