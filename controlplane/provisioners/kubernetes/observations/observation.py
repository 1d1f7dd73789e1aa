"""Turns a pod into the observation of its node. Pure: the same pod gives the same observation."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from controlplane.provisioners.base import STAGES, DrainReport, NodeObservation, NodeState
from controlplane.provisioners.kubernetes.objects import names
from controlplane.provisioners.kubernetes.objects.body import Body
from controlplane.provisioners.kubernetes.observations import reasons
from controlplane.provisioners.kubernetes.observations.reasons import NO_REASON, Reason

# The kubelet restarts a container that ran for this long without a back-off.
STEADY = timedelta(minutes=10)
OVER = frozenset({"Failed", "Succeeded"})


def node_observation(
    pod: Body, *, drain: DrainReport | None = None, domain: str = "cluster.local", warning: Reason = NO_REASON
) -> NodeObservation | None:
    """The observation of the node. None when the pod is no node of ours.

    drain: the report of its drain, if one was read. warning: the last warning about the pod; used when its status gives
    no reason.
    """
    meta = pod["metadata"]
    labels = meta.get("labels") or {}
    try:
        cluster_id = UUID(labels[names.CLUSTER])
        name, run, attempt = labels[names.NODE], int(labels[names.RUN]), int(labels[names.ATTEMPT])
    except (KeyError, ValueError):
        return None
    container = _container(pod)
    state, why = _state(pod, container)
    warned = bool(warning.reason and not why.reason)
    why = warning if warned else why
    report = drain if state is NodeState.DRAINING else None
    exited = _exited(container)
    return NodeObservation(
        cluster_id=cluster_id,
        run=run,
        name=name,
        attempt=attempt,
        # A report or a warning that was read later makes a newer version of the same pod.
        version=4 * int(meta["resourceVersion"]) + 2 * warned + (report is not None),
        state=NodeState.DRAINED if report else state,
        incarnation=container.get("containerID") or meta["uid"],
        address=_address(pod, domain),
        reason=why.reason,
        message=why.message,
        exit_code=exited.get("exitCode") if state is NodeState.ENDED else None,
        stages=_stages(pod, container),
        drain=report,
    )


def deleted_observation(pod: Body, *, domain: str = "cluster.local") -> NodeObservation | None:
    """The last observation of a node whose pod was deleted."""
    last = node_observation(pod, domain=domain)
    return last and NodeObservation(
        cluster_id=last.cluster_id,
        run=last.run,
        name=last.name,
        attempt=last.attempt,
        version=last.version,
        state=NodeState.GONE,
        incarnation=last.incarnation,
        address=last.address,
    )


def may_be_drained(pod: Body) -> bool:
    """Whether the drain of the node may have ended, so that a report can be read in its pod."""
    return _state(pod, _container(pod))[0] is NodeState.DRAINING and not _is_true(pod, "Ready")


def is_in_place(pod: Body) -> bool:
    """Whether the pod is in the namespace of its tenant. Labels alone prove nothing, as any pod may have them."""
    meta = pod["metadata"]
    try:
        tenant = UUID((meta.get("labels") or {})[names.TENANT])
    except (KeyError, ValueError):
        return False
    return bool(meta["namespace"] == names.namespace(tenant))


def failure_log(pod: Body) -> str:
    """The end of the log of a container that failed, as the kubelet keeps it. Only for members who may read the log."""
    return str(_exited(_container(pod)).get("message") or "")


def _state(pod: Body, container: Body) -> tuple[NodeState, Reason]:
    if "deletionTimestamp" in pod["metadata"]:
        return NodeState.UNREADY, reasons.ending(pod)
    exited = _exited(container)
    if pod["status"].get("phase") in OVER or _fails_repeatedly(container):
        return NodeState.ENDED, reasons.ended(pod, exited, container.get("restartCount") or 0)
    if "running" in _now(container):
        return _running(pod, container)
    why = reasons.waiting(pod, container)
    if exited and not why.reason:
        return NodeState.STARTING, reasons.restarting(pod, exited)
    return NodeState.WAITING, why


def _running(pod: Body, container: Body) -> tuple[NodeState, Reason]:
    if names.DRAINING in (pod["metadata"].get("annotations") or {}):
        return NodeState.DRAINING, NO_REASON
    if _is_true(pod, "Ready"):
        return NodeState.READY, NO_REASON
    if container.get("ready"):
        # The node is ready; another container or a readiness gate is not, or its machine does not answer.
        state = NodeState.UNREADY if _was_ready(pod, container) else NodeState.STARTING
        why = reasons.not_ready(pod)
        return (NodeState.UNREADY if why.reason == "MACHINE_SILENT" else state), why
    if container.get("started") and _was_ready(pod, container):
        return NodeState.UNREADY, NO_REASON
    return NodeState.STARTING, NO_REASON


def _was_ready(pod: Body, container: Body) -> bool:
    """Whether it was ready since this container was started. A condition has the time of its last change."""
    changed, began = _condition_at(pod, "Ready", "False"), _time(_now(container)["running"].get("startedAt"))
    return changed is not None and began is not None and changed > began


def _fails_repeatedly(container: Body) -> bool:
    """Whether it ended again before it ran for STEADY: then the kubelet delays each restart more (CrashLoopBackOff)."""
    state, before = _now(container), (container.get("lastState") or {}).get("terminated")
    if state.get("waiting", {}).get("reason") == "CrashLoopBackOff":
        return True
    if not before or "terminated" not in state:
        return False
    last, ended = _time(before.get("finishedAt")), _time(state["terminated"].get("finishedAt"))
    return last is not None and ended is not None and ended - last < STEADY


def _stages(pod: Body, container: Body) -> dict[str, datetime]:
    """Stage -> time. No stage is earlier than the one before it, although the API cuts times to whole seconds."""
    meta, running = pod["metadata"], _now(container).get("running") or _exited(container)
    applied = (meta.get("annotations") or {}).get(names.APPLIED_AT) or meta.get("creationTimestamp")
    # The API does not say when an image was pulled. The container starts immediately after that.
    started = _time(running.get("startedAt"))
    times = {
        "applied": _time(applied),
        "scheduled": _condition_at(pod, "PodScheduled", "True"),
        "image": started,
        "started": started,
        "ready": _condition_at(pod, "Ready", "True"),
    }
    stages: dict[str, datetime] = {}
    for stage in STAGES:
        at = times[stage]
        if at is None:
            break
        stages[stage] = max([at, *stages.values()])
    return stages


def _container(pod: Body) -> Body:
    statuses = pod["status"].get("containerStatuses") or []
    return next((item for item in statuses if item.get("name") == names.CONTAINER), {})


def _now(container: Body) -> Body:
    return container.get("state") or {}


def _exited(container: Body) -> Body:
    """The `terminated` state of its last end, {} when it never ended."""
    for state in (_now(container), container.get("lastState") or {}):
        if terminated := state.get("terminated"):
            return dict(terminated)
    return {}


def _is_true(pod: Body, kind: str) -> bool:
    return _condition_at(pod, kind, "True") is not None


def _condition_at(pod: Body, kind: str, status: str) -> datetime | None:
    for condition in pod["status"].get("conditions") or []:
        if condition["type"] == kind and condition["status"] == status:
            return _time(condition.get("lastTransitionTime"))
    return None


def _address(pod: Body, domain: str) -> str:
    spec = pod["spec"]
    parts = [spec.get("hostname"), spec.get("subdomain"), pod["metadata"]["namespace"]]
    return ".".join([*map(str, parts), "svc", domain]) if all(parts) else ""


def _time(text: str | None) -> datetime | None:
    """None when it did not happen, for which the API sometimes says 1970."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return at if at.year > 1970 else None
