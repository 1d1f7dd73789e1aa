"""Prints as JSON what Slipway posts for a cluster: `pattern.py ID`, in the installation's environment.

{"installation": ours, "posts": [[path, body], …]}, in their order: the cluster's root, the run's root, the objects that
pods refer to, and the pods. The provisioner makes them with a client that only records the requests.
"""

import json
import sys
import uuid
from dataclasses import replace
from typing import Any, cast

import django

django.setup()

from controlplane.clusters.models import Cluster  # noqa: E402
from controlplane.provisioners.kubernetes.client.client import Client  # noqa: E402
from controlplane.provisioners.kubernetes.runs import convergence  # noqa: E402
from controlplane.provisioners.kubernetes.settings import SiteSettings  # noqa: E402
from controlplane.reconciler.cluster.action import Action, ActionKind  # noqa: E402
from controlplane.reconciler.cluster.execute import desired  # noqa: E402
from controlplane.reconciler.cluster.plan import plan  # noqa: E402
from controlplane.reconciler.cluster.scope import PassState, read_scope  # noqa: E402
from controlplane.reconciler.site.provisioning import installation_id  # noqa: E402

Body = dict[str, Any]


class RecordingClient:
    """A client of an empty API server that accepts every object."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, Body]] = []
        self._objects: dict[str, Body] = {}

    def create(self, path: str, body: Body) -> Body:
        self.posts.append((path, body))
        about = {**body["metadata"], "uid": str(uuid.uuid4()), "resourceVersion": "1"}
        self._objects[f"{path}/{about['name']}"] = {**body, "metadata": about}
        return self._objects[f"{path}/{about['name']}"]

    def get(self, path: str) -> Body | None:
        return self._objects.get(path)


def main() -> None:
    cluster = Cluster.objects.select_related("site").get(id=sys.argv[1])
    scope = read_scope(cluster.id, PassState())
    assert scope is not None
    nodes = scope.snapshot.nodes
    action = Action(ActionKind.APPLY, nodes=tuple(node.ref for node in nodes))
    wish = desired(scope, replace(plan(scope.snapshot), nodes=nodes), action)
    settings = SiteSettings.parse({**cluster.site.settings, "installation": installation_id()})
    recorder = RecordingClient()
    convergence.apply(cast(Client, recorder), settings, wish)
    print(json.dumps({"installation": settings.installation, "posts": recorder.posts}))


main()
