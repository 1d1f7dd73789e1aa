"""Fake nodes of kwok: they report pods that select and tolerate `type=kwok` as running, and run nothing."""

import json

from deploy.devkube import programs
from deploy.devkube.settings import Devkube, run

SIZE = {"cpu": "32", "memory": "256Gi", "pods": "110", "ephemeral-storage": "1Ti"}


def provide(kube: Devkube) -> None:
    """Write the stages of fake nodes and pods, from kwok's own module."""
    module = json.loads(programs.go("kwok", "mod download -json sigs.k8s.io/kwok"))["Dir"]
    stages = run(f"{kube.state}/bin/kubectl kustomize {module}/kustomize/stage/fast")
    (kube.state / "config" / "stages.yaml").write_text(stages)


def scale(kube: Devkube, count: int) -> None:
    """Create or delete fake nodes until `count` exist."""
    there = set(kube.kubectl("get", "nodes", "-l", "type=kwok", "-o", "name").split())
    wanted = {f"node/kwok-{number:04}" for number in range(count)}
    if new := sorted(wanted - there):
        kube.kubectl("create", "-f", "-", given="\n".join(json.dumps(_node(name[5:])) for name in new))
    if spare := sorted(there - wanted):
        kube.kubectl("delete", "--wait=false", *spare)


def _node(name: str) -> dict[str, object]:
    system = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    annotations = {"kwok.x-k8s.io/node": "fake", "node.alpha.kubernetes.io/ttl": "0"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"type": "kwok", **system}, "annotations": annotations},
        "spec": {"taints": [{"key": "type", "value": "kwok", "effect": "NoSchedule"}]},
        "status": {"allocatable": SIZE, "capacity": SIZE},
    }
