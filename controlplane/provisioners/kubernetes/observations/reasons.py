"""Why a pod is not ready, or has ended, in words for the person whose node it is. Pure.

Nothing of what the node itself wrote: everybody in the tenant reads this, and a log is not for everybody.
"""

import re
import signal
from dataclasses import dataclass

from controlplane.provisioners.kubernetes.client.errors import cut
from controlplane.provisioners.kubernetes.objects import names
from controlplane.provisioners.kubernetes.objects.body import Body


@dataclass(frozen=True, slots=True)
class Why:
    reason: str = ""
    message: str = ""


NOTHING = Why()

_IMAGE = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError"}
)
_CREATE = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError"})
_CANNOT_START = frozenset({"StartError", "ContainerCannotRun"})
_LOST = frozenset({"NodeLost", "DeletionByPodGC"})
_EVICTED = frozenset({"Evicted", "EvictionByEvictionAPI", "DeletionByTaintManager"})
_PREEMPTED = frozenset({"PreemptionByScheduler", "Preempting"})
# What kubelets say of a pod that they end, or do not take, because their machine is shut down.
_SHUT_DOWN = frozenset({"Terminated", "Shutdown", "NodeShutdown"})

_PAUSE = re.compile(r'Back-off pulling image "[^"]*"(?:: \w+)?(?:: )?')

_NO_ROOM = re.compile(r"0/(\d+) nodes are available: (.*?)\.(?=\s|$)", re.DOTALL)
_COUNTED = re.compile(r"(\d+) (.+)")
_RESOURCES = {"ephemeral-storage": "disk", "nvidia.com/gpu": "gpu", "pods": "room for another pod"}
# What the scheduler says of machines -> what that means.
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


def waiting(pod: Body, container: Body) -> Why:
    """Of a pod whose container was never started."""
    for condition in pod["status"].get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return _unplaced(pod, condition.get("message") or "")
    state = (container.get("state") or {}).get("waiting") or {}
    reason, said = state.get("reason") or "", state.get("message") or ""
    if reason in _IMAGE:
        # Between two attempts the kubelet says the same with a word about its pause.
        image = _spec(pod, names.CONTAINER).get("image", "")
        return Why("IMAGE_PULL", cut(f"cannot pull image {image}: {_PAUSE.sub('', said)}"))
    if reason in _CREATE:
        return Why("CREATE_ERROR", cut(f"its container cannot be made: {said}"))
    return next((why for status in _blocking(pod) if (why := _of_another(pod, status)).reason), NOTHING)


def beside(pod: Body) -> Why:
    """Why a pod is not ready whose node is: a container that is not Slipway's, a readiness gate, or its machine."""
    others = pod["status"].get("containerStatuses") or []
    late = [each for each in others if each.get("name") != names.CONTAINER and not each.get("ready")]
    for status in [*_blocking(pod), *late]:
        if (why := _of_another(pod, status)).reason:
            return why
    return _gate(pod) or Why("MACHINE_SILENT", f"its machine{_machine(pod)} does not answer")


def _blocking(pod: Body) -> list[Body]:
    """The init containers that are not done, and sidecars among them that are not ready. None of them is ours."""
    return [each for each in pod["status"].get("initContainerStatuses") or [] if not each.get("ready")]


def _of_another(pod: Body, status: Body) -> Why:
    """What is to be said of a container that somebody else, a webhook most often, added to the pod."""
    name, state = str(status.get("name")), status.get("state") or {}
    whose = f"the container {name}, which Slipway did not add,"
    waiting = state.get("waiting") or {}
    reason, said = waiting.get("reason") or "", waiting.get("message") or ""
    if reason in _IMAGE:
        image = _spec(pod, name).get("image", "")
        return Why("IMAGE_PULL", cut(f"{whose} has no image: cannot pull {image}: {_PAUSE.sub('', said)}"))
    if reason in _CREATE:
        return Why("CREATE_ERROR", cut(f"{whose} cannot be made: {said}"))
    before = state.get("terminated") or (status.get("lastState") or {}).get("terminated")
    if before and "running" not in state:
        told = _exit(pod, before, status.get("restartCount") or 0, name)
        return Why("SIDECAR_ENDED", cut(f"{whose} does not stay up: {told.message}"))
    return Why("SIDECAR_UNREADY", f"{whose} is not ready") if "running" in state else NOTHING


def _gate(pod: Body) -> Why | None:
    """The first readiness gate that is not true."""
    told = {each["type"]: each for each in pod["status"].get("conditions") or []}
    for gate in pod["spec"].get("readinessGates") or []:
        condition = told.get(gate["conditionType"]) or {}
        if condition.get("status") != "True":
            why = condition.get("message") or condition.get("reason") or "nobody has set it yet"
            return Why(
                "READINESS_GATE", cut(f"its readiness gate {gate['conditionType']} is not true: {why}")
            )
    return None


def _machine(pod: Body) -> str:
    name = pod["spec"].get("nodeName")
    return f" {name}" if name else ""


def ended(pod: Body, exited: Body, restarts: int) -> Why:
    """Of a pod that runs no more, or is not kept running any longer. exited: how its container last ended."""
    status = pod["status"]
    told = {status.get("reason"), *(item.get("reason") for item in _disruptions(pod))}
    words = status.get("message") or next((item.get("message") for item in _disruptions(pod)), "")
    if told & _LOST:
        return Why("NODE_LOST", "its machine is gone")
    if told & _PREEMPTED:
        return Why("PREEMPTED", cut(f"it had to make room for a pod of higher priority: {words}"))
    if told & _SHUT_DOWN:
        return Why("MACHINE_SHUT_DOWN", cut(f"its machine{_machine(pod)} is being shut down: {words}"))
    if told & _EVICTED:
        return Why("EVICTED", cut(f"its machine put it out: {words}"))
    if status.get("phase") == "Failed" and status.get("reason"):
        return Why("REFUSED_BY_MACHINE", cut(f"its machine does not run it: {words or status['reason']}"))
    return _exit(pod, exited, restarts)


def restarting(pod: Body, exited: Body) -> Why:
    """Of a container that ended and is about to be started again in its place."""
    return Why("RESTARTING", f"{_exit(pod, exited, 0).message}, and is started again")


def ending(pod: Body) -> Why:
    """Of a pod that was told to go and is still there."""
    if finalizers := pod["metadata"].get("finalizers"):
        return Why("STUCK", cut(f"it is being ended, and held by the finalizer {', '.join(finalizers)}"))
    for disruption in _disruptions(pod):
        return Why(
            "ENDING", cut(f"it is being put out: {disruption.get('message') or disruption.get('reason')}")
        )
    return Why("ENDING", "it is being ended")


def _exit(pod: Body, exited: Body, restarts: int, name: str = names.CONTAINER) -> Why:
    code, reason = exited.get("exitCode"), exited.get("reason") or ""
    again = f", after {restarts} restarts" if restarts > 1 else ""
    if reason in _CANNOT_START:
        # Not the node's words but those of the container runtime.
        return Why("START_FAILED", cut(f"could not be started: {exited.get('message') or reason}"))
    if reason == "OOMKilled":
        return Why("OOM_KILLED", f"used more memory than its {_limit(pod, name)}{again}")
    if code is None:
        return Why("ENDED", "ended, and nobody knows how")
    return Why("CRASHED" if code else "EXITED", f"{_how(code)}{again}")


def _how(code: int) -> str:
    if code > 128:
        try:
            return f"killed by {signal.Signals(code - 128).name}"
        except ValueError:
            pass
    return f"exited with code {code}"


def _unplaced(pod: Body, message: str) -> Why:
    if "persistentvolumeclaim" in message.casefold():
        return Why("VOLUME_PENDING", f"its volume is not there: {cut(_plain(message))}")
    found = _NO_ROOM.match(message)
    if not found:
        return Why("UNSCHEDULABLE", cut(message))
    total, words = found.groups()
    # A taint may hold a comma; what comes after it has no count of its own.
    parts = [_of_machines(part, total) for part in re.split(r", (?=\d+ )", words)]
    return Why("UNSCHEDULABLE", cut(f"no machine has room for {_wanted(pod)}: {', '.join(parts)}"))


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
    """What the node asks for, and beside it what each container asks for that somebody else added."""
    ours = _requests(_spec(pod, names.CONTAINER)) or "it"
    others = [each for each in pod["spec"]["containers"] if each.get("name") != names.CONTAINER]
    beside = [f"{asked} of the container {each['name']}" for each in others if (asked := _requests(each))]
    return " and ".join([ours, *beside])


def _requests(container: Body) -> str:
    asked = (container.get("resources") or {}).get("requests") or {}
    return ", ".join(f"{_RESOURCES.get(name, name)} {amount}" for name, amount in sorted(asked.items()))


def _limit(pod: Body, name: str) -> str:
    memory = ((_spec(pod, name).get("resources") or {}).get("limits") or {}).get("memory")
    return f"limit of {memory}" if memory else "machine has"


def _spec(pod: Body, name: str) -> Body:
    """Of one container, whatever its kind."""
    spec = pod["spec"]
    every = [*spec.get("containers", ()), *(spec.get("initContainers") or ())]
    return next((each for each in every if each.get("name") == name), {})


def _disruptions(pod: Body) -> list[Body]:
    conditions = pod["status"].get("conditions") or []
    return [item for item in conditions if item["type"] == "DisruptionTarget" and item["status"] == "True"]
