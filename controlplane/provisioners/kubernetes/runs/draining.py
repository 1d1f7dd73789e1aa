"""Drains nodes: starts the drain script in the pod, notices its end by the pod's readiness, reads its report file."""

import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

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
from controlplane.provisioners.hook_output import count_or_none, last_json_object
from controlplane.provisioners.kubernetes.client.accounts import Accounts
from controlplane.provisioners.kubernetes.client.parallel import in_parallel
from controlplane.provisioners.kubernetes.objects import container_layout, names, paths
from controlplane.provisioners.kubernetes.objects.body import Body, attempt_of, is_leaving
from controlplane.provisioners.kubernetes.observations import observation

COUNTS = ("tasks_start", "tasks_end", "executors_start", "executors_end", "blocks_moved")
START_SECONDS = 3.0
READ_SECONDS = 2.0
MOST_BYTES = 4096
REMEMBERED = 1000


def begin(accounts: Accounts, cluster: ClusterRef, nodes: Sequence[NodeRef], seconds: int) -> None:
    """Start the drains in parallel. Nodes that do not run are skipped: they have nothing to move away."""
    in_parallel([partial(_begin, accounts, cluster, node, seconds) for node in nodes])


def _begin(accounts: Accounts, cluster: ClusterRef, node: NodeRef, seconds: int) -> None:
    """Starts the script, then marks the pod. A marked pod is not started again, and starting twice does no harm."""
    client, namespace = accounts.client("provision"), names.namespace(cluster.tenant_id)
    name = names.pod(cluster.id, node.name)
    pod = client.get(paths.pods(namespace, name))
    if pod is None or attempt_of(pod) != (node.name, node.attempt) or not _can_drain(pod):
        return
    ran = accounts.run(namespace, name, [container_layout.DRAIN, str(seconds)], seconds=START_SECONDS)
    if ran.exit_code:
        raise NotYet("DRAIN_FAILED", f"cannot start the drain of {node.name} (exit code {ran.exit_code})")
    # With the version that was read, so that a newer pod of the same name is not marked.
    version = pod["metadata"]["resourceVersion"]
    marks = {"resourceVersion": version, "annotations": {names.DRAINING: str(seconds)}}
    client.patch(paths.pods(namespace, name), {"metadata": marks})


def _can_drain(pod: Body) -> bool:
    observed = observation.node_observation(pod)
    runs = observed is not None and observed.state in {NodeState.READY, NodeState.UNREADY}
    return runs and not is_leaving(pod)


class Reports:
    """Reads drain reports from pods and remembers them, as a drained pod is deleted soon. Thread-safe."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._known: OrderedDict[str, DrainReport] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, pod: Body) -> DrainReport | None:
        """None: the drain has not ended, or the report cannot be read now."""
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
        """The report of each pod, in order. They are read in parallel."""
        drained = [pod for pod in pods if observation.may_be_drained(pod)]
        reports = in_parallel([partial(self.of, pod) for pod in drained])
        by_uid = {pod["metadata"]["uid"]: report for pod, report in zip(drained, reports, strict=True)}
        return [by_uid.get(pod["metadata"]["uid"]) for pod in pods]

    def _read(self, pod: Body) -> DrainReport | None:
        about = pod["metadata"]
        # Only a regular file: the node's user could put a pipe or a link there.
        plain = f"[ -f {container_layout.REPORT} ] && [ ! -L {container_layout.REPORT} ]"
        command = ["/bin/sh", "-c", f"{plain} && exec head -c {MOST_BYTES} {container_layout.REPORT}"]
        try:
            ran = self._accounts.run(about["namespace"], about["name"], command, seconds=READ_SECONDS)
        except (Temporary, Permanent):
            # The node counts as draining, and its report is read again later.
            return None
        return parsed(ran.stdout) if ran.exit_code == 0 else None


def parsed(text: bytes) -> DrainReport | None:
    """text: the report file. None when it is damaged. A count that the hook did not report is None."""
    head, _, answer = text.partition(b"\n")
    words = head.decode(errors="replace").split()
    # The node's user may write this file too.
    if len(words) != 2 or words[0] not in set(DrainOutcome) or not re.fullmatch("[0-9]{1,9}", words[1]):
        return None
    said = last_json_object(answer)
    return DrainReport(
        DrainOutcome(words[0]),
        int(words[1]) / 100,
        **{name: count_or_none(said.get(name)) for name in COUNTS},
    )
