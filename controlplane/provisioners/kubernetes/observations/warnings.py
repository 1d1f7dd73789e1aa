"""The last warning that Kubernetes wrote about a pod: why it waits where the pod itself does not say so."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import quote

from controlplane.provisioners.base import NodeObservation, NodeState, Temporary
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.errors import cut
from controlplane.provisioners.kubernetes.client.parallel import all_of
from controlplane.provisioners.kubernetes.objects import paths
from controlplane.provisioners.kubernetes.objects.body import Body, attempt_of, run_of
from controlplane.provisioners.kubernetes.observations.reasons import NOTHING, Why

# A pod that waits this long without a reason is asked after, and so many of one cluster at once.
PATIENCE = timedelta(seconds=5)
MOST_ASKED = 4
# These repeat what the node itself wrote, which is not for everybody in the tenant.
_ITS_OWN_WORDS = frozenset({"Unhealthy", "ProbeWarning", "FailedPostStartHook", "FailedPreStopHook"})
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def last_warnings(client: Client, pods: Sequence[Body], sights: Sequence[NodeObservation]) -> dict[str, Why]:
    """uid -> why, of the pods that do not say themselves why they wait. sights: of these pods."""
    silent = {
        (sight.run, sight.name, sight.attempt)
        for sight in sights
        if sight.state in {NodeState.WAITING, NodeState.STARTING} and not sight.reason
    }
    now = datetime.now(UTC)
    asked = [pod for pod in pods if _key(pod) in silent and now - _made(pod) > PATIENCE][:MOST_ASKED]
    told = all_of([partial(last_warning, client, pod) for pod in asked])
    return {pod["metadata"]["uid"]: why for pod, why in zip(asked, told, strict=True) if why.reason}


def last_warning(client: Client, pod: Body) -> Why:
    """NOTHING where there is none, or it could not be read: then nothing is known that was not known before."""
    about = pod["metadata"]
    chosen = quote(f"involvedObject.uid={about['uid']},type=Warning", safe="")
    try:
        found = client.list(f"{paths.events(about['namespace'])}?fieldSelector={chosen}").items
    except Temporary:
        return NOTHING
    told = [event for event in found if event.get("reason") and event["reason"] not in _ITS_OWN_WORDS]
    if not told:
        return NOTHING
    last = max(told, key=_at)
    return Why(
        _CAPITAL.sub("_", str(last["reason"])).upper(), cut(str(last.get("message") or last["reason"]))
    )


def _at(event: Body) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"])


def _made(pod: Body) -> datetime:
    return datetime.fromisoformat(pod["metadata"]["creationTimestamp"])


def _key(pod: Body) -> tuple[int, str, int]:
    return run_of(pod), *attempt_of(pod)
