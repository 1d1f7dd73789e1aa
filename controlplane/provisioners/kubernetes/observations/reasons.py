"""Explains to users why a pod is not ready or has ended. Pure.

Messages contain no output of the node: every member of the tenant reads them, but not every member may read logs.
"""

import re
import signal
from dataclasses import dataclass

from controlplane.provisioners.kubernetes.client.errors import cut
from controlplane.provisioners.kubernetes.objects import names
from controlplane.provisioners.kubernetes.objects.body import Body


@dataclass(frozen=True, slots=True)
class Reason:
    """reason: a code for programs. message: a text for people."""

    reason: str = ""
    message: str = ""


NO_REASON = Reason()

_IMAGE = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError"}
)
_CREATE = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError"})
_CANNOT_START = frozenset({"StartError", "ContainerCannotRun"})
_LOST = frozenset({"NodeLost", "DeletionByPodGC"})
_EVICTED = frozenset({"Evicted", "EvictionByEvictionAPI", "DeletionByTaintManager"})
_PREEMPTED = frozenset({"PreemptionByScheduler", "Preempting"})
# Reasons of pods that a kubelet ends or refuses because its machine is being shut down.
_SHUT_DOWN = frozenset({"Terminated", "Shutdown", "NodeShutdown"})

_PAUSE = re.compile(r'Back-off pulling image "[^"]*"(?:: \w+)?(?:: )?')

_NO_ROOM = re.compile(r"0/(\d+) nodes are available: (.*?)\.(?=\s|$)", re.DOTALL)
_COUNTED = re.compile(r"(\d+) (.+)")
_RESOURCES = {"ephemeral-storage": "disk", "nvidia.com/gpu": "gpu", "pods": "room for another pod"}
# Message of the scheduler about machines -> message for users.
_OF_MACHINES = (
    (
        re.compile(r"node\(s\) didn't match Pod's node affinity/selector"),
        "not of the kind that it may run on",
    ),
    (re.compile(r"node\(s\) had untolerated taint(?:\(s\))? ?(\{.*\})?"), r"kept for others \1"),
    (re.compile(r"node\(s\) were unschedulable"), "closed for new work"),
    (re.compile(r"node\(s\) had volume node affinity conflict"), "out of reach of its volume"),
    (re.compile(r"(?:node\(s\) had )?[Ii]nsufficient (\S+)"), r"short of \1"),
)


def waiting(pod: Body, container: Body) -> Reason:
    """Why the container of a pod was never started."""
    for condition in pod["status"].get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return _unplaced(pod, condition.get("message") or "")
    state = (container.get("state") or {}).get("waiting") or {}
    reason, said = state.get("reason") or "", state.get("message") or ""
    if reason in _IMAGE:
        # Between two pulls, the kubelet adds the same prefix about its back-off.
        image = _spec(pod, names.CONTAINER).get("image", "")
        return Reason("IMAGE_PULL", cut(f"cannot pull image {image}: {_PAUSE.sub('', said)}"))
    if reason in _CREATE:
        return Reason("CREATE_ERROR", cut(f"cannot create its container: {said}"))
    return next((why for status in _blocking(pod) if (why := _of_another(pod, status)).reason), NO_REASON)


def not_ready(pod: Body) -> Reason:
    """Why a pod is not ready although its node is: another container, a readiness gate or its machine."""
    others = pod["status"].get("containerStatuses") or []
    late = [each for each in others if each.get("name") != names.CONTAINER and not each.get("ready")]
    for status in [*_blocking(pod), *late]:
        if (why := _of_another(pod, status)).reason:
            return why
    return _gate(pod) or Reason("MACHINE_SILENT", f"its machine{_machine(pod)} does not answer")


def _blocking(pod: Body) -> list[Body]:
    """Init containers that have not finished, and sidecars that are not ready. Slipway adds none of them."""
    return [each for each in pod["status"].get("initContainerStatuses") or [] if not each.get("ready")]


def _of_another(pod: Body, status: Body) -> Reason:
    """Why a container is not ready that Slipway did not add; usually a webhook added it to the pod."""
    name, state = str(status.get("name")), status.get("state") or {}
    title = f"the container {name}, which Slipway did not add,"
    waiting = state.get("waiting") or {}
    reason, said = waiting.get("reason") or "", waiting.get("message") or ""
    if reason in _IMAGE:
        image = _spec(pod, name).get("image", "")
        return Reason("IMAGE_PULL", cut(f"{title} has no image: cannot pull {image}: {_PAUSE.sub('', said)}"))
    if reason in _CREATE:
        return Reason("CREATE_ERROR", cut(f"{title} cannot be created: {said}"))
    before = state.get("terminated") or (status.get("lastState") or {}).get("terminated")
    if before and "running" not in state:
        end = _exit(pod, before, status.get("restartCount") or 0, name)
        return Reason("SIDECAR_ENDED", cut(f"{title} does not stay up: {end.message}"))
    return Reason("SIDECAR_UNREADY", f"{title} is not ready") if "running" in state else NO_REASON


def _gate(pod: Body) -> Reason | None:
    """The first readiness gate that is not true, None when all are."""
    conditions = {each["type"]: each for each in pod["status"].get("conditions") or []}
    for gate in pod["spec"].get("readinessGates") or []:
        condition = conditions.get(gate["conditionType"]) or {}
        if condition.get("status") != "True":
            why = condition.get("message") or condition.get("reason") or "it was not set yet"
            return Reason(
                "READINESS_GATE", cut(f"its readiness gate {gate['conditionType']} is not true: {why}")
            )
    return None


def _machine(pod: Body) -> str:
    name = pod["spec"].get("nodeName")
    return f" {name}" if name else ""


def ended(pod: Body, exited: Body, restarts: int) -> Reason:
    """Why a pod ended, or is not restarted any more. exited: the `terminated` state of its container."""
    status = pod["status"]
    causes = {status.get("reason"), *(item.get("reason") for item in _disruptions(pod))}
    words = status.get("message") or next((item.get("message") for item in _disruptions(pod)), "")
    if causes & _LOST:
        return Reason("NODE_LOST", "its machine is gone")
    if causes & _PREEMPTED:
        return Reason("PREEMPTED", cut(f"preempted by a pod of higher priority: {words}"))
    if causes & _SHUT_DOWN:
        return Reason("MACHINE_SHUT_DOWN", cut(f"its machine{_machine(pod)} is being shut down: {words}"))
    if causes & _EVICTED:
        return Reason("EVICTED", cut(f"evicted by its machine: {words}"))
    if status.get("phase") == "Failed" and status.get("reason"):
        return Reason("REFUSED_BY_MACHINE", cut(f"its machine does not run it: {words or status['reason']}"))
    return _exit(pod, exited, restarts)


def restarting(pod: Body, exited: Body) -> Reason:
    """Why a container is about to be restarted."""
    return Reason("RESTARTING", f"{_exit(pod, exited, 0).message}, and is being restarted")


def ending(pod: Body) -> Reason:
    """Why a pod that is being deleted still exists."""
    if finalizers := pod["metadata"].get("finalizers"):
        return Reason("STUCK", cut(f"it is being ended, and held by the finalizer {', '.join(finalizers)}"))
    for disruption in _disruptions(pod):
        return Reason(
            "ENDING", cut(f"it is being evicted: {disruption.get('message') or disruption.get('reason')}")
        )
    return Reason("ENDING", "it is being ended")


def _exit(pod: Body, exited: Body, restarts: int, name: str = names.CONTAINER) -> Reason:
    code, reason = exited.get("exitCode"), exited.get("reason") or ""
    again = f", after {restarts} restarts" if restarts > 1 else ""
    if reason in _CANNOT_START:
        # This message comes from the container runtime and not from the node.
        return Reason("START_FAILED", cut(f"could not be started: {exited.get('message') or reason}"))
    if reason == "OOMKilled":
        return Reason("OOM_KILLED", f"used more memory than its {_limit(pod, name)}{again}")
    if code is None:
        return Reason("ENDED", "ended with an unknown exit code")
    return Reason("CRASHED" if code else "EXITED", f"{_how(code)}{again}")


def _how(code: int) -> str:
    if code > 128:
        try:
            return f"killed by {signal.Signals(code - 128).name}"
        except ValueError:
            pass
    return f"exited with code {code}"


def _unplaced(pod: Body, message: str) -> Reason:
    if "persistentvolumeclaim" in message.casefold():
        return Reason("VOLUME_PENDING", f"its volume is not there: {cut(_plain(message))}")
    found = _NO_ROOM.match(message)
    if not found:
        return Reason("UNSCHEDULABLE", cut(message))
    total, words = found.groups()
    # A taint may contain a comma, but no count follows it.
    parts = [_of_machines(part, total) for part in re.split(r", (?=\d+ )", words)]
    return Reason("UNSCHEDULABLE", cut(f"no machine has room for {_wanted(pod)}: {', '.join(parts)}"))


def _of_machines(part: str, total: str) -> str:
    counted = _COUNTED.match(part)
    if not counted:
        return part
    count, words = counted.groups()
    for pattern, meaning in _OF_MACHINES:
        if known := pattern.fullmatch(words):
            words = _resource(known.expand(meaning).strip())
            break
    return f"{count} of {total} {'is' if count == '1' else 'are'} {words}"


def _resource(words: str) -> str:
    for name, known in _RESOURCES.items():
        words = words.replace(f"short of {name}", f"short of {known}")
    return words


def _plain(message: str) -> str:
    found = _NO_ROOM.match(message)
    return found.group(2) if found else message


def _wanted(pod: Body) -> str:
    """The requests of the node, and of each container that Slipway did not add."""
    ours = _requests(_spec(pod, names.CONTAINER)) or "it"
    others = [each for each in pod["spec"]["containers"] if each.get("name") != names.CONTAINER]
    theirs = [f"{amounts} of the container {each['name']}" for each in others if (amounts := _requests(each))]
    return " and ".join([ours, *theirs])


def _requests(container: Body) -> str:
    requests = (container.get("resources") or {}).get("requests") or {}
    return ", ".join(f"{_RESOURCES.get(name, name)} {amount}" for name, amount in sorted(requests.items()))


def _limit(pod: Body, name: str) -> str:
    memory = ((_spec(pod, name).get("resources") or {}).get("limits") or {}).get("memory")
    return f"limit of {memory}" if memory else "machine has"


def _spec(pod: Body, name: str) -> Body:
    """The spec of one container or init container, {} when the pod has none of this name."""
    spec = pod["spec"]
    every = [*spec.get("containers", ()), *(spec.get("initContainers") or ())]
    return next((each for each in every if each.get("name") == name), {})


def _disruptions(pod: Body) -> list[Body]:
    conditions = pod["status"].get("conditions") or []
    return [item for item in conditions if item["type"] == "DisruptionTarget" and item["status"] == "True"]
