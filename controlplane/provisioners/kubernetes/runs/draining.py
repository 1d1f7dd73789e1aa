"""The drain of a node: started in its pod, told by the pod's readiness, reported in a file there."""

import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

from controlplane.provisioners.answers import count, facts
from controlplane.provisioners.base import (
    ClusterRef,
    DrainOutcome,
    DrainReport,
    NodeRef,
    NodeState,
    NotYet,
    Permanent,
    Temporary,
)
from controlplane.provisioners.kubernetes.client.accounts import Accounts
from controlplane.provisioners.kubernetes.client.parallel import in_parallel
from controlplane.provisioners.kubernetes.objects import container_layout, names, paths
from controlplane.provisioners.kubernetes.objects.body import Body, attempt_of
from controlplane.provisioners.kubernetes.observations import observation

COUNTS = ("tasks_start", "tasks_end", "executors_start", "executors_end", "blocks_moved")
START_SECONDS = 3.0
READ_SECONDS = 2.0
MOST_BYTES = 4096
REMEMBERED = 1000


def begin(accounts: Accounts, cluster: ClusterRef, nodes: Sequence[NodeRef], seconds: int) -> None:
    """All at once. What is not there, or does not run, has nothing to move away."""
    in_parallel([partial(_begin, accounts, cluster, node, seconds) for node in nodes])


def _begin(accounts: Accounts, cluster: ClusterRef, node: NodeRef, seconds: int) -> None:
    """Started first and marked after: a pod that is marked is not told again, and telling it twice does no harm."""
    client, place = accounts.client("provision"), names.namespace(cluster.tenant_id)
    name = names.pod(cluster.id, node.name)
    pod = client.get(paths.pods(place, name))
    if pod is None or attempt_of(pod) != (node.name, node.attempt) or not _can_drain(pod):
        return
    ran = accounts.run(place, name, [container_layout.DRAIN, str(seconds)], seconds=START_SECONDS)
    if ran.exit_code:
        raise NotYet("DRAIN_FAILED", f"{node.name}: its drain could not be started ({ran.exit_code})")
    # Of the pod as it was read: one that has taken its name since is not meant.
    version = pod["metadata"]["resourceVersion"]
    marks = {"resourceVersion": version, "annotations": {names.DRAINING: str(seconds)}}
    client.patch(paths.pods(place, name), {"metadata": marks})


def _can_drain(pod: Body) -> bool:
    seen = observation.node_observation(pod)
    runs = seen is not None and seen.state in {NodeState.READY, NodeState.UNREADY}
    return runs and "deletionTimestamp" not in pod["metadata"]


class Reports:
    """Read in the pods, each once: a drain has one report, and its pod does not stay long. Thread-safe."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._known: OrderedDict[str, DrainReport] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, pod: Body) -> DrainReport | None:
        """None: it does not say so, or could not be asked."""
        if not observation.may_be_drained(pod):
            return None
        uid = pod["metadata"]["uid"]
        with self._lock:
            if uid in self._known:
                return self._known[uid]
        report = self._read(pod)
        if report is not None:
            with self._lock:
                self._known[uid] = report
                while len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)
        return report

    def of_all(self, pods: Sequence[Body]) -> list[DrainReport | None]:
        """Of each in order; those that have to be asked are asked at once."""
        asked = [pod for pod in pods if observation.may_be_drained(pod)]
        reports = in_parallel([partial(self.of, pod) for pod in asked])
        told = {pod["metadata"]["uid"]: report for pod, report in zip(asked, reports, strict=True)}
        return [told.get(pod["metadata"]["uid"]) for pod in pods]

    def _read(self, pod: Body) -> DrainReport | None:
        about = pod["metadata"]
        # No pipe that never ends, and nothing that lies elsewhere.
        plain = f"[ -f {container_layout.REPORT} ] && [ ! -L {container_layout.REPORT} ]"
        command = ["/bin/sh", "-c", f"{plain} && exec head -c {MOST_BYTES} {container_layout.REPORT}"]
        try:
            ran = self._accounts.run(about["namespace"], about["name"], command, seconds=READ_SECONDS)
        except (Temporary, Permanent):
            # It drains as far as anybody knows, and is asked again.
            return None
        return parsed(ran.stdout) if ran.exit_code == 0 else None


def parsed(text: bytes) -> DrainReport | None:
    """What our script wrote and the hook said. Never a number that was not read."""
    head, _, answer = text.partition(b"\n")
    words = head.decode(errors="replace").split()
    # Its file lies where the node's user may write too.
    if len(words) != 2 or words[0] not in set(DrainOutcome) or not re.fullmatch("[0-9]{1,9}", words[1]):
        return None
    said = facts(answer)
    return DrainReport(
        DrainOutcome(words[0]), int(words[1]) / 100, **{name: count(said.get(name)) for name in COUNTS}
    )
