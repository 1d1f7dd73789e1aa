"""How pods become observations. Each file in `pods` is a pod as a real Kubernetes returned it at one moment."""

import json
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from controlplane.provisioners.base import STAGES, DrainOutcome, DrainReport, NodeObservation, NodeState
from controlplane.provisioners.kubernetes.objects import names
from controlplane.provisioners.kubernetes.objects.body import Body, cluster_and_tenant
from controlplane.provisioners.kubernetes.observations.observation import (
    deleted_observation,
    failure_log,
    may_be_drained,
    node_observation,
)
from controlplane.provisioners.kubernetes.observations.reasons import Reason

PODS = Path(__file__).with_name("pods")
CLUSTER = UUID("018f0000-0000-7000-8000-00000000c1a5")
TENANT = UUID("018f0000-0000-7000-8000-000000007e2a")
REPORT = DrainReport(DrainOutcome.DRAINED, 1.5, tasks_start=2, tasks_end=0)

NO_IMAGE = "cannot pull image localhost/slipway-nothing:1: "
CASES = {
    "new": ("waiting", "", ""),
    "scheduled": ("waiting", "", ""),
    "starting": ("starting", "", ""),
    "started": ("starting", "", ""),
    "ready": ("ready", "", ""),
    "unready": ("unready", "", ""),
    "draining": ("draining", "", ""),
    "drained": ("draining", "", ""),
    "ending": ("unready", "ENDING", "it is being ended"),
    "deleted": ("unready", "ENDING", "it is being ended"),
    "unschedulable": (
        "waiting",
        "UNSCHEDULABLE",
        "no machine has room for cpu 900, memory 900Gi: 1 of 1 is short of cpu, 1 of 1 is short of memory",
    ),
    "unplaced": (
        "waiting",
        "UNSCHEDULABLE",
        "no machine has room for cpu 10m, memory 16Mi: 1 of 1 is not of the kind that it may run on",
    ),
    "unbound": (
        "waiting",
        "VOLUME_PENDING",
        "its volume is not there: pod has unbound immediate PersistentVolumeClaims",
    ),
    "no_volume": (
        "waiting",
        "VOLUME_PENDING",
        'its volume is not there: persistentvolumeclaim "nothing" not found',
    ),
    "image_missing": ("waiting", "IMAGE_PULL", NO_IMAGE + "failed to pull and unpack image"),
    "image_back_off": ("waiting", "IMAGE_PULL", NO_IMAGE + "failed to pull and unpack image"),
    "image_never": (
        "waiting",
        "IMAGE_PULL",
        NO_IMAGE + 'Container image "localhost/slipway-nothing:1" is not present',
    ),
    "image_name": ("waiting", "IMAGE_PULL", "cannot pull image localhost/Slipway:1: "),
    "no_secret": ("waiting", "CREATE_ERROR", 'cannot create its container: secret "nothing" not found'),
    "no_command": ("waiting", "CREATE_ERROR", "cannot create its container: failed to create"),
    "no_command_back_off": ("ended", "START_FAILED", "could not be started: failed to create"),
    "crashed_once": ("starting", "RESTARTING", "exited with code 3, and is being restarted"),
    "restarted": ("ready", "", ""),
    "crashed_twice": ("ended", "CRASHED", "exited with code 3"),
    "crash_loop": ("ended", "CRASHED", "exited with code 3, after 3 restarts"),
    "out_of_memory": ("ended", "OOM_KILLED", "used more memory than its limit of 16Mi"),
    "evicted": (
        "ended",
        "EVICTED",
        'evicted by its machine: Usage of EmptyDir volume "work" exceeds the limit "5Mi".',
    ),
    "machine_gone": ("ended", "NODE_LOST", "its machine is gone"),
}
EXIT_CODES = {
    "no_command_back_off": 128,
    "crashed_twice": 3,
    "crash_loop": 3,
    "out_of_memory": 137,
    "evicted": 137,
}


def pod(name: str) -> Body:
    found: Body = json.loads((PODS / f"{name}.json").read_text())
    return found


def observed(body: Body, drain: DrainReport | None = None) -> NodeObservation:
    found = node_observation(body, drain=drain)
    assert found
    return found


def test_every_recorded_pod_has_a_case():
    assert {file.stem for file in PODS.iterdir()} == set(CASES)
    print(f"{len(CASES)} recorded pods")


@pytest.mark.parametrize("name", CASES)
def test_each_pod_becomes_a_state_with_its_reason(name: str):
    state, reason, message = CASES[name]
    found = observed(pod(name))
    assert (found.state, found.reason) == (state, reason)
    assert found.message.startswith(message)
    assert bool(found.message) == bool(message)


@pytest.mark.parametrize("name", CASES)
def test_only_an_ended_node_has_an_exit_code(name: str):
    assert observed(pod(name)).exit_code == EXIT_CODES.get(name)


@pytest.mark.parametrize("name", CASES)
def test_stages_are_in_order_without_a_gap(name: str):
    stages = observed(pod(name)).stages
    assert tuple(stages) == STAGES[: len(stages)]
    assert list(stages.values()) == sorted(stages.values())


@pytest.mark.parametrize("name", CASES)
def test_messages_contain_nothing_that_the_node_wrote(name: str):
    found = observed(pod(name))
    assert not {"no such file\n", "records in"} & {found.message, found.reason}
    assert "no such file\n" not in found.message
    assert "records in" not in found.message


def test_the_end_of_the_log_of_a_failed_node_can_be_read():
    assert failure_log(pod("crash_loop")) == "no such file\n"
    assert failure_log(pod("ready")) == ""


def test_a_node_is_named_by_its_labels():
    found = observed(pod("ready"))
    assert (found.cluster_id, found.run, found.name, found.attempt) == (CLUSTER, 1, "ready-0", 1)


def test_the_address_is_known_before_the_pod_runs():
    run = names.run_root(CLUSTER, 1)
    address = f"ready-0.{run}.{names.namespace(TENANT)}.svc.cluster.local"
    assert observed(pod("new")).address == observed(pod("ready")).address == address
    assert address == names.hostname(CLUSTER, 1, "ready-0", TENANT, "cluster.local")


def test_the_incarnation_is_the_container_once_it_exists():
    assert observed(pod("new")).incarnation == pod("new")["metadata"]["uid"]
    assert observed(pod("ready")).incarnation.startswith("containerd://")
    assert observed(pod("crashed_once")).incarnation != observed(pod("restarted")).incarnation


def test_a_ready_node_has_all_stages():
    stages = observed(pod("ready")).stages
    assert stages["applied"] == datetime(2026, 11, 21, 3, 0, 0, 123456, tzinfo=UTC)
    assert tuple(stages) == STAGES


def test_stages_in_whole_seconds_are_never_before_the_last_one():
    body = pod("ready")
    body["metadata"]["annotations"][names.APPLIED_AT] = "2026-11-21T03:42:14.900000+00:00"
    stages = observed(body).stages
    assert stages["scheduled"] == stages["applied"]


def test_the_version_grows_with_the_pod():
    assert observed(pod("new")).version < observed(pod("scheduled")).version < observed(pod("ready")).version


def test_a_report_makes_the_node_drained_with_a_newer_version():
    before, after = observed(pod("drained")), observed(pod("drained"), REPORT)
    assert (after.state, after.drain) == (NodeState.DRAINED, REPORT)
    assert after.version > before.version


def test_a_later_observation_is_newer_than_a_report():
    body = pod("drained")
    body["metadata"]["resourceVersion"] = str(int(body["metadata"]["resourceVersion"]) + 1)
    assert observed(body).version > observed(pod("drained"), REPORT).version


@pytest.mark.parametrize("name", ["ready", "ending", "crash_loop", "new"])
def test_only_a_draining_node_has_a_report(name: str):
    assert observed(pod(name), REPORT).drain is None


@pytest.mark.parametrize("name", CASES)
def test_a_report_is_read_only_at_the_end_of_a_drain(name: str):
    assert may_be_drained(pod(name)) == (name == "drained")


def test_a_deleted_pod_is_a_node_that_is_gone():
    found = deleted_observation(pod("deleted"))
    assert found
    assert (found.state, found.name, found.attempt) == (NodeState.GONE, "ending-0", 1)
    assert found.version > observed(pod("ending")).version


def test_a_silent_machine_makes_its_nodes_unready():
    body = pod("ready")
    ready = next(item for item in body["status"]["conditions"] if item["type"] == "Ready")
    ready["status"] = "False"
    assert (observed(body).state, observed(body).reason) == (NodeState.UNREADY, "MACHINE_SILENT")


def test_a_crash_after_a_long_time_is_a_restart():
    body = pod("crashed_twice")
    [container] = body["status"]["containerStatuses"]
    container["lastState"]["terminated"]["finishedAt"] = "2026-11-21T03:32:00Z"
    assert (observed(body).state, observed(body).reason) == (NodeState.STARTING, "RESTARTING")


def test_a_pod_refused_by_its_machine_has_ended():
    body = pod("machine_gone")
    body["status"].update(reason="OutOfcpu", message="Pod was rejected: too little cpu", conditions=[])
    found = observed(body)
    assert (found.state, found.reason) == (NodeState.ENDED, "REFUSED_BY_MACHINE")
    assert found.message == "its machine does not run it: Pod was rejected: too little cpu"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Terminated", "MACHINE_SHUT_DOWN"),
        ("NodeShutdown", "MACHINE_SHUT_DOWN"),
        ("Preempting", "PREEMPTED"),
    ],
)
def test_a_shutdown_and_a_preemption_are_not_refusals(said: str, reason: str):
    body = pod("machine_gone")
    body["status"].update(phase="Failed", reason=said, message="as its kubelet says", conditions=[])
    found = observed(body)
    assert (found.state, found.reason) == (NodeState.ENDED, reason)
    assert found.message.endswith("as its kubelet says")


def test_a_pod_removed_by_the_scheduler_is_preempted():
    body = pod("machine_gone")
    target = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
    body["status"].update(phase="Failed", conditions=[{**target, "message": "preempted"}])
    body["status"].pop("reason", None)
    assert observed(body).reason == "PREEMPTED"


@pytest.mark.parametrize(
    ("code", "words"), [(0, "exited with code 0"), (143, "killed by SIGTERM"), (255, "code 255")]
)
def test_the_exit_code_is_in_the_message(code: int, words: str):
    body = pod("crash_loop")
    [container] = body["status"]["containerStatuses"]
    container["lastState"]["terminated"]["exitCode"] = code
    assert words in observed(body).message


_TAINTED = "1 node(s) had untolerated taint {gpu: only, yes}"
SCHEDULER = [
    (
        f"0/3 nodes are available: {_TAINTED}, 2 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are available.",
        "1 of 3 is kept for others {gpu: only, yes}, 2 of 3 are short of gpu",
    ),
    (
        "0/2 nodes are available: 1 node(s) were unschedulable, 1 node(s) had volume node affinity conflict.",
        "1 of 2 is closed for new work, 1 of 2 is out of reach of its volume",
    ),
    ("0/9 nodes are available: 9 Insufficient ephemeral-storage.", "9 of 9 are short of disk"),
    ("0/1 nodes are available: 1 Too many pods.", "1 of 1 is Too many pods"),
    (
        "0/1 nodes are available: 1 node(s) didn't have free ports.",
        "1 of 1 is node(s) didn't have free ports",
    ),
]


@pytest.mark.parametrize(("said", "words"), SCHEDULER)
def test_messages_of_the_scheduler_become_plain_words(said: str, words: str):
    body = pod("unschedulable")
    placed = next(item for item in body["status"]["conditions"] if item["type"] == "PodScheduled")
    placed["message"] = said
    assert observed(body).message == f"no machine has room for cpu 900, memory 900Gi: {words}"


def test_an_unknown_message_of_the_scheduler_is_passed_on_unchanged():
    body = pod("unschedulable")
    placed = next(item for item in body["status"]["conditions"] if item["type"] == "PodScheduled")
    placed["message"] = "out of luck"
    assert observed(body).message == "out of luck"


@pytest.mark.parametrize("label", [names.CLUSTER, names.RUN, names.NODE, names.ATTEMPT])
def test_a_pod_without_all_labels_is_ignored(label: str):
    without, strange = pod("ready"), pod("ready")
    del without["metadata"]["labels"][label]
    strange["metadata"]["labels"][label] = "?"
    assert node_observation(without) is None
    assert (node_observation(strange) is None) == (label != names.NODE)


def test_a_pod_without_labels_or_status_is_ignored():
    assert node_observation({"metadata": {"name": "x"}, "spec": {"containers": []}, "status": {}}) is None


def test_another_container_does_not_change_the_observation():
    body = pod("ready")
    sidecar = deepcopy(body["status"]["containerStatuses"][0])
    sidecar.update(name="sidecar", state={"terminated": {"exitCode": 9}}, containerID="containerd://other")
    body["status"]["containerStatuses"].insert(0, sidecar)
    assert observed(body) == observed(pod("ready"))


def test_labels_name_the_cluster_and_the_tenant():
    assert cluster_and_tenant(pod("ready")) == (CLUSTER, TENANT)
    assert cluster_and_tenant({"metadata": {"name": "x"}}) is None


# -- containers that a webhook added ------------------------------------------------------------------------------

PROXY = "proxy"
SMALL = {"requests": {"cpu": "10m", "memory": "8Mi"}, "limits": {"memory": "8Mi"}}
WEBHOOK = "the container proxy, which Slipway did not add,"
BESIDE: dict[str, tuple[Body, str, str]] = {
    "is not ready": ({"running": {}}, "SIDECAR_UNREADY", f"{WEBHOOK} is not ready"),
    "has no image": (
        {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}},
        "IMAGE_PULL",
        f"{WEBHOOK} has no image: cannot pull proxy:1: not found",
    ),
    "crashed": (
        {"terminated": {"exitCode": 3, "reason": "Error"}},
        "SIDECAR_ENDED",
        f"{WEBHOOK} does not stay up: exited with code 3",
    ),
    "used too much memory": (
        {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
        "SIDECAR_ENDED",
        f"{WEBHOOK} does not stay up: used more memory than its limit of 8Mi",
    ),
}


def with_proxy(name: str, state: Body, *, init: bool = False) -> Body:
    """Returns the pod with a container that a webhook added before the others."""
    body = pod(name)
    kinds = ("initContainers", "initContainerStatuses") if init else ("containers", "containerStatuses")
    spec: Body = {"name": PROXY, "image": "proxy:1", "resources": SMALL}
    body["spec"][kinds[0]] = [spec, *body["spec"].get(kinds[0], [])]
    statuses = body["status"].get(kinds[1]) or []
    body["status"][kinds[1]] = [{"name": PROXY, "ready": False, "state": state}, *statuses]
    return body


def not_ready(body: Body) -> Body:
    for condition in body["status"]["conditions"]:
        if condition["type"] in {"Ready", "ContainersReady"}:
            condition["status"] = "False"
    return body


@pytest.mark.parametrize("case", BESIDE)
@pytest.mark.parametrize("init", [False, True], ids=["beside", "init"])
def test_an_added_container_that_fails_is_named(case: str, init: bool):
    state, reason, message = BESIDE[case]
    found = observed(not_ready(with_proxy("ready", state, init=init)))
    assert (found.reason, found.message) == (reason, message)


@pytest.mark.parametrize("case", BESIDE)
def test_an_added_init_container_that_fails_keeps_the_node_waiting(case: str):
    state, reason, message = BESIDE[case]
    found = observed(with_proxy("scheduled", state, init=True))
    assert (found.state, found.reason, found.message) == (NodeState.WAITING, reason, message)


@pytest.mark.parametrize("name", ["out_of_memory", "image_missing", "image_never"])
def test_messages_use_the_limits_and_image_of_the_node(name: str):
    assert observed(with_proxy(name, {"running": {}})).message == observed(pod(name)).message


def test_missing_room_is_named_for_the_node_and_for_added_containers():
    message = observed(with_proxy("unschedulable", {})).message
    assert message.startswith(
        "no machine has room for cpu 900, memory 900Gi and cpu 10m, memory 8Mi of the container proxy: "
    )


def test_a_readiness_gate_that_is_not_true_is_named():
    body = not_ready(pod("ready"))
    body["spec"]["readinessGates"] = [{"conditionType": "example.com/target"}]
    found = observed(body)
    assert (found.reason, found.message) == (
        "READINESS_GATE",
        "its readiness gate example.com/target is not true: it was not set yet",
    )


def test_the_last_warning_is_the_reason_when_the_pod_has_none():
    warning = Reason("FAILED_MOUNT", "no such volume")
    warned, before = node_observation(pod("scheduled"), warning=warning), observed(pod("scheduled"))
    assert warned
    assert (warned.state, warned.reason, warned.message) == (before.state, "FAILED_MOUNT", "no such volume")
    assert warned.version > before.version
    assert node_observation(pod("image_missing"), warning=warning) == observed(pod("image_missing"))


def test_a_finalizer_that_holds_a_node_is_named():
    body = pod("ending")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    found = observed(body)
    assert (found.reason, found.message) == (
        "STUCK",
        "it is being ended, and held by the finalizer example.com/hold",
    )
