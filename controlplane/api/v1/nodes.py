from typing import Any

from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.endpoint import ApiCall, Endpoint, answer, method
from controlplane.api.fields import Choice
from controlplane.api.openapi import page_shape
from controlplane.api.pagination import page_of
from controlplane.api.shapes import Out, PageQuery
from controlplane.api.v1.common import rfc3339_of
from controlplane.clusters.access import cluster_for
from controlplane.clusters.models import Node, Observation
from controlplane.clusters.selectors import nodes_of, observations_of
from controlplane.provisioners.base import NodeState

PHASES = ("pending", "ending", *(str(state) for state in NodeState))


class NodeOut(Out):
    name = serializers.CharField()
    group = serializers.CharField()
    role = serializers.CharField()
    phase = Choice([str(phase) for phase in PHASES])
    incarnation = serializers.CharField(allow_null=True, help_text="The site's own identity of this attempt.")
    attempt = serializers.IntegerField(help_text="Counts the attempts in this run of the cluster.")
    address = serializers.CharField(allow_null=True)
    ready_at = serializers.DateTimeField(allow_null=True)
    reason = serializers.CharField(allow_null=True)
    message = serializers.CharField(allow_null=True)


def node_json(node: Node, observation: Observation | None) -> dict[str, Any]:
    return {
        "name": node.name,
        "group": node.group,
        "role": node.role,
        "phase": _phase(node, observation),
        "incarnation": (observation.incarnation or None) if observation else None,
        "attempt": node.attempt,
        "address": (observation.address or None) if observation else None,
        "ready_at": rfc3339_of(observation.stages.get("ready")) if observation else None,
        "reason": (observation.reason or None) if observation else None,
        "message": (observation.message or None) if observation else None,
    }


def _phase(node: Node, observation: Observation | None) -> str:
    leaves = observation is not None and observation.state in {NodeState.DRAINING, NodeState.DRAINED}
    if node.ending or (node.leaving and not leaves):
        return "ending"
    return observation.state if observation else "pending"


class Nodes(Endpoint):
    @method("node.list", "Nodes of a cluster", {200: page_shape("Node", NodeOut)}, query=PageQuery)
    def get(self, call: ApiCall, tenant: str, cluster: str) -> Response:
        found = cluster_for(call.enter(tenant), cluster)
        observations = observations_of([found]).get(found.pk, {})
        listed = page_of(
            nodes_of(found),
            call.query,
            key=lambda node: f"{node.group}/{node.index:09}",
            to_json=lambda nodes: [node_json(node, observations.get(node.name)) for node in nodes],
        )
        return answer(listed)
