"""Reads the last warning event of a pod, which says why it waits when its status does not."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import quote

from controlplane.provisioners.base import NodeObservation, NodeState, Temporary
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.errors import cut
from controlplane.provisioners.kubernetes.client.parallel import in_parallel
from controlplane.provisioners.kubernetes.objects import paths
from controlplane.provisioners.kubernetes.objects.body import Body, attempt_of, run_of
from controlplane.provisioners.kubernetes.observations.reasons import NO_REASON, Reason

# Events are read for pods that wait this long without a reason, and for so many pods of a cluster at once.
PATIENCE = timedelta(seconds=5)
MOST_PODS = 4
# These events repeat output of the node, which not every member of the tenant may read.
_NODE_OUTPUT = frozenset({"Unhealthy", "ProbeWarning", "FailedPostStartHook", "FailedPreStopHook"})
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def last_warnings(
    client: Client, pods: Sequence[Body], nodes: Sequence[NodeObservation]
) -> dict[str, Reason]:
    """uid -> the last warning, of pods that wait without a reason. nodes: the observations of these pods."""
    silent = {
        (node.run, node.name, node.attempt)
        for node in nodes
        if node.state in {NodeState.WAITING, NodeState.STARTING} and not node.reason
    }
    oldest = datetime.now(UTC) - PATIENCE
    waiting = [
        pod
        for pod in pods
        if (run_of(pod), *attempt_of(pod)) in silent
        and datetime.fromisoformat(pod["metadata"]["creationTimestamp"]) < oldest
    ][:MOST_PODS]
    warnings = in_parallel([partial(last_warning, client, pod) for pod in waiting])
    return {
        pod["metadata"]["uid"]: warning
        for pod, warning in zip(waiting, warnings, strict=True)
        if warning.reason
    }


def last_warning(client: Client, pod: Body) -> Reason:
    """NO_REASON when the pod has no warning, or when its events cannot be read now."""
    metadata = pod["metadata"]
    selector = quote(f"involvedObject.uid={metadata['uid']},type=Warning", safe="")
    try:
        events = client.list(f"{paths.events(metadata['namespace'])}?fieldSelector={selector}").items
    except Temporary:
        return NO_REASON
    usable = [event for event in events if event.get("reason") and event["reason"] not in _NODE_OUTPUT]
    if not usable:
        return NO_REASON
    last = max(usable, key=_time)
    reason = _CAPITAL.sub("_", str(last["reason"])).upper()
    return Reason(reason, cut(str(last.get("message") or last["reason"])))


def _time(event: Body) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"])
