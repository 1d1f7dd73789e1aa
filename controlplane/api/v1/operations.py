from typing import Any

from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.endpoint import ApiCall, Endpoint, Path, answer, method
from controlplane.api.fields import Choice, Text, Tree, Whole
from controlplane.api.openapi import page_shape
from controlplane.api.pagination import Order, page
from controlplane.api.shapes import Out, PageQuery, Query
from controlplane.api.slots import set_user
from controlplane.api.v1.common import ReasonOut, id_of, reason_of, rfc3339
from controlplane.clusters import selectors
from controlplane.clusters.access import cluster_for, operate
from controlplane.clusters.models import Operation
from controlplane.clusters.models.operation import State
from controlplane.clusters.phases import Verb
from controlplane.clusters.queries.reads import OperationDetail, operation_of
from controlplane.clusters.services import operation_cancel
from controlplane.provisioners.base import DrainOutcome
from tenants.access import Access, allow
from tenants.errors import NotFound

LONGEST_WAIT = 60


_COUNT = {"type": ["integer", "null"], "description": "null: unknown."}
_REPORT = {
    "type": "object",
    "required": ["node", "outcome", "seconds"],
    "properties": {
        "node": {"type": "string"},
        "outcome": {"type": "string", "enum": [str(outcome) for outcome in DrainOutcome]},
        "seconds": {"type": "number"},
        **dict.fromkeys(("tasks_start", "tasks_end", "executors_start", "executors_end"), _COUNT),
        "blocks_moved": _COUNT,
    },
}


class OperationsQuery(PageQuery):
    cluster = Text(most=100, default="", help_text="Name or id of a cluster.")


class WaitQuery(Query):
    wait = Whole(
        least=0,
        most=LONGEST_WAIT,
        digits=True,
        default=0,
        help_text="Answer when the operation has ended, after at most this many seconds.",
    )


class StepOut(Out):
    name = serializers.CharField()
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    message = serializers.CharField(allow_blank=True)


class OperationOut(Out):
    id = serializers.UUIDField()
    kind = Choice([str(verb) for verb in Verb])
    state = Choice(list(State.values))
    cluster = serializers.CharField()
    cluster_id = serializers.UUIDField()
    actor = serializers.CharField()
    generation = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    deadline = serializers.DateTimeField(allow_null=True)
    error = ReasonOut(allow_null=True)
    steps = StepOut(many=True)
    report = Tree(
        list,
        schema={"type": "array", "items": _REPORT},
        help_text="The drain of each node that left.",
    )


def operation_json(found: OperationDetail) -> dict[str, Any]:
    row = found.row
    return {
        "id": str(row.pk),
        "kind": row.kind,
        "state": row.state,
        "cluster": found.cluster,
        "cluster_id": str(row.cluster_id),
        "actor": row.actor,
        "generation": row.generation,
        "created_at": rfc3339(row.created_at),
        "ended_at": rfc3339(row.ended_at),
        "deadline": rfc3339(row.deadline),
        "error": reason_of(row.reason, row.message),
        "steps": [
            {
                "name": step.name,
                "started_at": rfc3339(step.started_at),
                "ended_at": rfc3339(step.ended_at),
                "message": step.message,
            }
            for step in found.steps
        ],
        "report": row.report,
    }


def _all(rows: list[Operation]) -> list[dict[str, Any]]:
    return [operation_json(OperationDetail(row, row.cluster.name, list(row.steps.all()))) for row in rows]


def _one(access: Access, ident: str) -> OperationDetail:
    found = operation_of(access, id_of(ident))
    if found is None:
        raise NotFound
    return found


class Operations(Endpoint):
    @method(
        "operation.list", "Operations", {200: page_shape("Operation", OperationOut)}, query=OperationsQuery
    )
    def get(self, call: ApiCall, tenant: str) -> Response:
        """Newest first, of the tenant or of one cluster."""
        access = call.enter(tenant)
        allow(access, "cluster.read")
        cluster = cluster_for(access, call.query["cluster"]) if call.query["cluster"] else None
        rows = selectors.operations_of(access, cluster)
        return answer(page(rows, call.query, order=Order(), to_json=_all))


class OneOperation(Endpoint):
    @method("operation.read", "An operation", {200: OperationOut}, query=WaitQuery)
    def get(self, call: ApiCall, tenant: str, operation: str) -> Response:
        """With its steps. With `wait`, the answer comes when the operation has ended, or after that many seconds."""
        set_user(call.request._request, call.actor.user_id)
        access = call.enter(tenant)
        allow(access, "cluster.read")
        return answer(operation_json(_one(access, operation)))


def _may_cancel(call: ApiCall, path: Path) -> None:
    access = call.enter(path["tenant"])
    operate(access, cluster_for(access, _one(access, path["operation"]).row.cluster_id))


class OperationCancel(Endpoint):
    @method("operation.cancel", "Cancel an operation", {202: OperationOut}, recheck=_may_cancel)
    def post(self, call: ApiCall, tenant: str, operation: str) -> Response:
        """A cancelled create or start stops the cluster; a cancelled resize keeps the nodes that exist."""
        access = call.enter(tenant)
        operation_cancel(access=access, operation=id_of(operation))
        return answer(operation_json(_one(access, operation)), status=202)
