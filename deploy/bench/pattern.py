"""What Slipway posts for a cluster of an installation, as JSON: `pattern.py ID`. In the installation's environment.

{"installation": ours, "posts": [[path, body], …]} in their order: the cluster's root, the run's root, what pods need,
and the pods. The provisioner itself makes them, before a client that only writes down what it is asked.
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
from controlplane.reconciler.acts import desired  # noqa: E402
from controlplane.reconciler.plan import plan  # noqa: E402
from controlplane.reconciler.provisioning import installation_id  # noqa: E402
from controlplane.reconciler.scope import Learned, read  # noqa: E402

Body = dict[str, Any]


class Notes:
    """An API server that has nothing, and takes everything."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, Body]] = []
        self._there: dict[str, Body] = {}

    def create(self, path: str, body: Body) -> Body:
        self.posts.append((path, body))
        about = {**body["metadata"], "uid": str(uuid.uuid4()), "resourceVersion": "1"}
        self._there[f"{path}/{about['name']}"] = {**body, "metadata": about}
        return self._there[f"{path}/{about['name']}"]

    def get(self, path: str) -> Body | None:
        return self._there.get(path)


def main() -> None:
    cluster = Cluster.objects.select_related("site").get(id=sys.argv[1])
    scope = read(cluster.id, Learned())
    assert scope is not None
    names = tuple(place.name for place in scope.view.places)
    wish = desired(scope, replace(plan(scope.view), places=scope.view.places, names=names))
    settings = SiteSettings.parse({**cluster.site.settings, "installation": installation_id()})
    notes = Notes()
    convergence.apply(cast(Client, notes), settings, wish)
    print(json.dumps({"installation": settings.installation, "posts": notes.posts}))


main()
