from collections.abc import Iterator
from typing import Any

from rest_framework.response import Response

from controlplane.api.endpoint import ApiCall, Endpoint, answer, method
from controlplane.clusters.access import clusters_of
from controlplane.clusters.endpoints import is_there
from controlplane.clusters.models import Cluster, Observation
from controlplane.clusters.outlines import outlines_of
from controlplane.clusters.phases import Phase
from controlplane.clusters.selectors import observations_of
from controlplane.provisioners.base import NodeState
from templates.schema import Launch

_RUNNING = (Phase.STARTING, Phase.READY, Phase.RESIZING)
_TARGETS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["targets", "labels"],
        "additionalProperties": False,
        "properties": {
            "targets": {"type": "array", "items": {"type": "string"}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    },
}


class Targets(Endpoint):
    @method("target.list", "Metrics endpoints of the tenant's clusters", {200: _TARGETS})
    def get(self, call: ApiCall, tenant: str) -> Response:
        """For Prometheus's HTTP service discovery: the services of nodes that are ready and answer now."""
        access = call.enter(tenant)
        clusters = list(
            clusters_of(access)
            .filter(phase__in=_RUNNING)
            .select_related("site")
            .defer("effective", "requested")
            .prefetch_related("nodes")
        )
        observations, outlines = observations_of(clusters), outlines_of(clusters)
        found: list[dict[str, Any]] = []
        for cluster in clusters:
            launch = outlines[str(cluster.pk)].launch
            found += _targets(cluster, access.tenant.name, launch, observations.get(cluster.pk, {}))
        return answer(found)


def _targets(
    cluster: Cluster, tenant: str, launch: Launch, observations: dict[str, Observation]
) -> Iterator[dict[str, Any]]:
    for node in cluster.nodes.all():
        observation = observations.get(node.name)
        if observation is None or observation.state != NodeState.READY:
            continue
        role = launch.app.role(node.role)
        for service in role.services:
            if not is_there(cluster.site.kind, role, service, observation.address):
                continue
            for path in service.metrics:
                labels = {
                    "__metrics_path__": path,
                    "slipway_tenant": tenant,
                    "slipway_cluster": cluster.name,
                    "slipway_node": node.name,
                    "slipway_role": node.role,
                    "slipway_group": node.group,
                    "slipway_app": launch.app.name,
                    "slipway_service": service.name,
                }
                yield {"targets": [f"{observation.address}:{role.ports[service.port]}"], "labels": labels}
