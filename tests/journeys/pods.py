"""Looks at a Kubernetes cluster without Slipway: runs commands in nodes, lists pods and all other objects."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.exec import run
from controlplane.provisioners.kubernetes.objects import names, paths
from controlplane.provisioners.kubernetes.settings import Reach

# Kubernetes itself makes and deletes these at any time.
RESTLESS = {"Event", "Lease", "Node", "EndpointSlice", "Endpoints"}


class Pods:
    def __init__(self, kubeconfig: Path) -> None:
        self.client = Client(Reach(kubeconfig=str(kubeconfig)), purpose="tests")

    def run(self, cluster: dict[str, Any], node: str, command: Sequence[str], *, seconds: float = 120) -> str:
        """The output of the command in the node. Fails with its output unless the exit code is 0."""
        pod = self.of(cluster)[node]["metadata"]
        ran = run(self.client, pod["namespace"], pod["name"], command, seconds=seconds)
        assert ran.exit_code == 0, f"{ran.stdout.decode()[-2000:]}\n{ran.stderr.decode()[-2000:]}"
        return str(ran.stdout.decode())

    def of(self, cluster: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """The pods of a cluster by node."""
        found = self.client.list(paths.pods(), labels={names.CLUSTER: cluster["id"]}).items
        return {pod["metadata"]["labels"][names.NODE]: pod for pod in found}

    def namespace(self, cluster: dict[str, Any]) -> str:
        """The namespace of the cluster's tenant."""
        [found] = {str(pod["metadata"]["namespace"]) for pod in self.of(cluster).values()}
        return found

    def containers(self, cluster: dict[str, Any]) -> dict[str, tuple[str, str, int]]:
        """Node -> the uid of its pod, the id of its container and the number of restarts."""
        return {
            node: (pod["metadata"]["uid"], item.get("containerID", ""), item["restartCount"])
            for node, pod in self.of(cluster).items()
            for item in pod["status"].get("containerStatuses") or ()
        }

    def everything(self) -> set[tuple[str, str, str]]:
        """(kind, namespace, name) of every object of every kind that can be listed."""
        found: set[tuple[str, str, str]] = set()
        for group in ["/api/v1", *self._groups()]:
            for kind in self._kinds(group):
                for item in self.client.list(f"{group}/{kind['name']}").items:
                    meta = item["metadata"]
                    found.add((kind["kind"], meta.get("namespace", ""), meta["name"]))
        return found

    def _groups(self) -> list[str]:
        listed = self.client.get("/apis") or {}
        return [f"/apis/{group['preferredVersion']['groupVersion']}" for group in listed["groups"]]

    def _kinds(self, group: str) -> list[dict[str, Any]]:
        listed = self.client.get(group) or {}
        return [
            kind
            for kind in listed["resources"]
            if "list" in kind["verbs"] and "/" not in kind["name"] and kind["kind"] not in RESTLESS
        ]
