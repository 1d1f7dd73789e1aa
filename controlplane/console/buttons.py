"""The buttons of a cluster. All of them are always shown; one that cannot be used now says why."""

from dataclasses import dataclass
from typing import Final

from django.urls import reverse

from controlplane.clusters.access import is_mine, operate
from controlplane.clusters.models import Cluster, Operation
from controlplane.clusters.phases import Phase, Verb
from controlplane.clusters.services.cancel import CANCELLABLE
from controlplane.clusters.services.verbs import require_possible
from controlplane.console import words
from tenants.access import Access
from tenants.errors import Conflict, NeedsRole

# The buttons that open a page with a form, instead of sending a POST.
WITH_FORM: Final = frozenset({"resize", "delete"})


@dataclass(frozen=True, slots=True)
class Button:
    """One button. url: to POST to, or to open if it `asks`. reason: why it cannot be used, "" when it can."""

    name: str
    label: str
    note: str
    url: str
    reason: str = ""
    force: bool = False

    @property
    def asks(self) -> bool:
        """Whether the button opens a page with a form."""
        return self.name in WITH_FORM


def buttons(access: Access, cluster: Cluster, live: Operation | None) -> list[Button]:
    """The buttons in the order of a cluster's life. live: the operation in progress.

    The URLs contain the id, because the name may belong to another cluster by the time of the click.
    """
    verbs = [verb for verb in Verb if verb in words.BUTTON_NOTES]
    return [
        *(_verb_button(access, cluster, live, verb) for verb in verbs),
        _cancel_button(access, cluster, live),
    ]


def _verb_button(access: Access, cluster: Cluster, live: Operation | None, verb: Verb) -> Button:
    is_stopping = live is not None and live.kind == Verb.STOP
    stops_now = verb is Verb.STOP and is_stopping and not cluster.force
    if stops_now:
        label = "Stop now"
    elif verb is Verb.START and cluster.phase == Phase.FAILED:
        label = "Retry"
    else:
        label = verb.capitalize() + ("…" if verb in WITH_FORM else "")
    return Button(
        name=verb,
        label=label,
        note=words.STOP_NOW_NOTE if stops_now else words.BUTTON_NOTES[verb],
        url=_url(access, cluster, verb),
        reason=_missing_role(access, cluster)
        or ("" if stops_now else _why_not_now(access, cluster, live, verb)),
        force=stops_now,
    )


def _cancel_button(access: Access, cluster: Cluster, live: Operation | None) -> Button:
    can_be_cancelled = live is not None and live.kind in CANCELLABLE
    reason = _missing_role(access, cluster)
    if not reason and not can_be_cancelled:
        reason = words.NOT_CANCELLABLE.format(live.kind) if live else words.NO_OPERATION
    label = f"Cancel the {live.kind}" if live and can_be_cancelled else "Cancel"
    return Button("cancel", label, words.BUTTON_NOTES["cancel"], _url(access, cluster, "cancel"), reason)


def _missing_role(access: Access, cluster: Cluster) -> str:
    """Why the actor may not operate the cluster, "" if the actor may."""
    try:
        operate(access, cluster)
    except NeedsRole as refusal:
        sentence = words.NEEDS_ROLE if is_mine(access, cluster) else words.NOT_YOURS
        return sentence.format(refusal.extra["role"])
    return ""


def _why_not_now(access: Access, cluster: Cluster, live: Operation | None, verb: Verb) -> str:
    """Why the verb is not possible now, "" if it is. It is shorter than the refusal of the verb itself."""
    if live is not None and (live.kind == verb or (verb is Verb.START and live.kind == Verb.CREATE)):
        return words.ALREADY_IN_PROGRESS
    try:
        require_possible(access, cluster, live, verb)
    except Conflict as refusal:
        if live is not None and refusal.reason == "OPERATION_IN_PROGRESS":
            return words.AFTER_OPERATION.format(live.kind)
        return words.WRONG_PHASE[verb] if refusal.reason == "WRONG_PHASE" else refusal.detail
    return ""


def _url(access: Access, cluster: Cluster, verb: str) -> str:
    kwargs = {"tenant": access.tenant.name, "cluster": cluster.id}
    if verb in WITH_FORM:
        return reverse(f"console:{verb}", kwargs=kwargs)
    return reverse("console:verb", kwargs={**kwargs, "verb": verb})
