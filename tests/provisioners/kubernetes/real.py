"""Single pods on a real Kubernetes, for tests of commands, logs and observations."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from controlplane.provisioners.base import NodeState
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.objects import names, paths
from controlplane.provisioners.kubernetes.objects.body import Body
from controlplane.provisioners.kubernetes.objects.manifests import of_installation
from controlplane.provisioners.kubernetes.observations.observation import node_observation
from controlplane.provisioners.kubernetes.settings import Reach
from tests.provisioners.launching import IMAGE, until

FOREVER = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


@dataclass
class PodNamespace:
    """The namespace of a new tenant, in an installation without other objects."""

    client: Client
    tenant_id: UUID = field(default_factory=uuid4)
    installation: str = field(default_factory=lambda: uuid4().hex[:16])
    cluster_id: UUID = field(default_factory=uuid4)

    @property
    def namespace(self) -> str:
        return names.namespace(self.tenant_id)

    def make(self, node: str, script: str, *, first: Sequence[Body] = (), **spec: Any) -> str:
        """Creates a pod that runs `script` and returns its name. first: containers to add before its own."""
        whose = {names.TENANT: str(self.tenant_id), names.CLUSTER: str(self.cluster_id)}
        labels = {**whose, names.NODE: node, names.RUN: "1", names.ATTEMPT: "1"}
        container = {"name": names.CONTAINER, "image": IMAGE, "command": ["sh", "-c", script]}
        pod = {
            "metadata": {
                "name": names.pod(self.cluster_id, node),
                "labels": {**labels, **of_installation(self.installation)},
            },
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [*first, container], **spec},
        }
        self.client.create(paths.pods(self.namespace), pod)
        return names.pod(self.cluster_id, node)

    def running(self, node: str, script: str = FOREVER) -> str:
        name = self.make(node, script)
        until(lambda: self.state(name) is NodeState.READY, 60)
        return name

    def says(self, name: str) -> str:
        """Returns the message that says why the pod is not ready."""
        pod = self.client.get(paths.pods(self.namespace, name))
        node = node_observation(pod) if pod else None
        return node.message if node else ""

    def state(self, name: str) -> NodeState:
        pod = self.client.get(paths.pods(self.namespace, name))
        node = node_observation(pod) if pod else None
        return node.state if node else NodeState.GONE


@contextmanager
def pod_namespace(kubeconfig: Path) -> Iterator[PodNamespace]:
    client = Client(Reach(kubeconfig=str(kubeconfig)), purpose="test")
    here = PodNamespace(client)
    namespace = here.namespace
    client.create(paths.namespaces(), {"metadata": {"name": namespace}})
    # A controller creates this account a moment after the namespace; pods are refused before.
    until(lambda: client.get(paths.service_accounts(namespace, "default")), 30)
    try:
        yield here
    finally:
        client.delete_collection(paths.pods(namespace), labels={names.CLUSTER: ""}, grace=0)
        client.delete(paths.namespaces(namespace))
