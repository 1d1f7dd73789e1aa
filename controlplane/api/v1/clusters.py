from typing import Any, Final

from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.endpoint import ApiCall, Endpoint, Path, answer, method
from controlplane.api.fields import Choice, Name, Text, Tree, Whole
from controlplane.api.openapi import page_shape
from controlplane.api.pagination import Order, page_by
from controlplane.api.shapes import In, Out, PageQuery
from controlplane.api.v1 import template_schemas as shapes
from controlplane.api.v1.cluster_document import ClusterOut, cluster_json, clusters_json, without_pages
from controlplane.api.v1.common import ROOT, AmountsOut, ForceIn, PlanQuery, in_tenant
from controlplane.clusters.access import cluster_for, operate
from controlplane.clusters.capacity import Verdict
from controlplane.clusters.phases import Phase, Verb
from controlplane.clusters.queries.cluster_list import ClusterFilter, clusters_page
from controlplane.clusters.services import (
    cluster_configure,
    cluster_configure_plan,
    cluster_create,
    cluster_create_plan,
    cluster_release,
    cluster_verb_plan,
)
from controlplane.clusters.services.create import ClusterRequest
from controlplane.clusters.services.verbs import VerbRequest, cluster_verb
from tenants.access import allow
from tenants.errors import NotFound

_NODES: Final = {
    "type": "array",
    "maxItems": 1000,
    "items": {"type": "string", "pattern": "^[a-z][a-z0-9-]{1,79}$"},
}


class ClustersQuery(PageQuery):
    phase = Choice(
        [str(phase) for phase in Phase], default="", help_text="Deleted ones are listed only if named."
    )
    owner = Text(most=63, default="")
    site = Text(most=40, default="")
    template = Text(most=40, default="")


class ClusterIn(In):
    name = Name()
    template = Text(most=40, least=1, help_text="Name or id.")
    site = Text(most=40, default="", help_text="Not needed where there is only one.")
    preset = Text(most=40, default="")
    groups = Tree(default=dict, schema=shapes.CHOSEN_GROUPS)
    parameters = Tree(default=dict, schema=shapes.CHOSEN_PARAMETERS)


class ResizeIn(In):
    groups = Tree(schema=shapes.COUNTS)
    drain_seconds = Whole(
        least=0, most=3600, default=60, help_text="How long leaving nodes may finish their work."
    )


class ConfigureIn(In):
    """A JSON merge patch: fields that are not named stay, null removes what was requested."""

    not_empty = True
    groups = Tree(required=False, schema=shapes.CHANGED_GROUPS)
    parameters = Tree(required=False, schema=shapes.CHANGED_PARAMETERS)
    preset = Text(most=40, required=False)
    revision = Whole(least=1, most=2**31 - 1, required=False, help_text="Of the cluster's template.")


class RestartIn(In):
    nodes = Tree(list, default=list, schema=_NODES, help_text="Their names; none means all.")


class ChangeOut(Out):
    group = serializers.CharField()
    role = serializers.CharField()
    count = serializers.IntegerField()
    each = AmountsOut()


_VALUE: Final = {"type": ["string", "number", "boolean", "null"]}
_LEVEL: Final = {
    "type": "object",
    "required": ["scope", "resource", "limit", "held", "after", "short_by"],
}


class DifferenceOut(Out):
    pointer = serializers.CharField()
    before = Tree(schema=_VALUE)
    after = Tree(schema=_VALUE)


class RoomOut(Out):
    verdict = Choice([str(verdict) for verdict in Verdict])
    message = serializers.CharField(allow_blank=True)
    levels = Tree(list, schema={"type": "array", "items": {"type": "object"}})


class PlanBodyOut(Out):
    verb = Choice([str(verb) for verb in Verb])
    site = serializers.CharField()
    adds = ChangeOut(many=True)
    removes = ChangeOut(many=True)
    takes = AmountsOut()
    quota = Tree(list, schema={"type": "array", "items": _LEVEL})
    fits = serializers.BooleanField()
    room = RoomOut(help_text="At the site: fits, not_now (it would wait), never (it is refused) or unknown.")
    expected_seconds = Tree(schema={"type": ["object", "null"]})
    changes = DifferenceOut(many=True, required=False, help_text="Of a PATCH: the values that would change.")


class PlanOut(Out):
    plan = PlanBodyOut()


def _is_plan(call: ApiCall) -> bool:
    return bool(call.query["validate_only"])


def _may_operate(call: ApiCall, path: Path) -> None:
    """Raises if the user may not use the cluster any more. Once it is deleted, the right to use clusters counts."""
    access = call.enter(path["tenant"])
    try:
        operate(access, cluster_for(access, path["cluster"]))
    except NotFound:
        allow(access, "cluster.operate_own")


class Clusters(Endpoint):
    @method("cluster.list", "Clusters", {200: page_shape("Cluster", ClusterOut)}, query=ClustersQuery)
    def get(self, call: ApiCall, tenant: str) -> Response:
        """Newest first."""
        access = call.enter(tenant)
        narrow = ClusterFilter(**{name: call.query[name] for name in ("phase", "owner", "site", "template")})
        return answer(
            page_by(
                call.query,
                order=Order(),
                read=lambda after, most: clusters_page(access, narrow, after=after, most=most),
                to_json=lambda found: clusters_json(access, found),
            )
        )

    @method(
        "cluster.create",
        "Launch a cluster",
        {201: ClusterOut, 200: PlanOut},
        body=ClusterIn,
        query=PlanQuery,
        etag=True,
        location=True,
        recheck=in_tenant("cluster.launch"),
        redact=without_pages,
        skip_key=_is_plan,
    )
    def post(self, call: ApiCall, tenant: str) -> Response:
        """The cluster is admitted whole or not at all. It starts in the background: see `operation`."""
        access, body = call.enter(tenant), dict(call.body)
        name = body.pop("name")
        request = ClusterRequest(**body)
        if _is_plan(call):
            return answer(cluster_create_plan(access=access, name=name, request=request))
        cluster = cluster_create(access=access, name=name, request=request)
        return answer(
            cluster_json(access, cluster),
            status=201,
            generation=cluster.generation,
            location=f"{ROOT}/tenants/{access.tenant.name}/clusters/{cluster.pk}",
        )


class OneCluster(Endpoint):
    @method("cluster.read", "A cluster", {200: ClusterOut}, etag=True)
    def get(self, call: ApiCall, tenant: str, cluster: str) -> Response:
        """By name while it is not deleted, by id at any time."""
        access = call.enter(tenant)
        found = cluster_for(access, cluster)
        return answer(cluster_json(access, found), generation=found.generation)

    @method(
        "cluster.configure",
        "Configure a stopped cluster",
        {202: ClusterOut, 200: PlanOut},
        body=ConfigureIn,
        query=PlanQuery,
        if_match=True,
        etag=True,
        recheck=_may_operate,
        redact=without_pages,
        skip_key=_is_plan,
    )
    def patch(self, call: ApiCall, tenant: str, cluster: str) -> Response:
        """Sizes, parameters, preset, revision of its template; applied at its next start."""
        access = call.enter(tenant)
        change: dict[str, Any] = {"cluster": cluster, "changes": call.body, "if_match": call.if_match}
        if _is_plan(call):
            return answer(cluster_configure_plan(access=access, **change))
        done = cluster_configure(access=access, **change)
        return answer(cluster_json(access, done), status=202, generation=done.generation)

    @method(
        "cluster.delete",
        "Delete a cluster",
        {202: ClusterOut, 200: PlanOut},
        body=ForceIn,
        query=PlanQuery,
        if_match=True,
        etag=True,
        recheck=_may_operate,
        redact=without_pages,
        skip_key=_is_plan,
    )
    def delete(self, call: ApiCall, tenant: str, cluster: str) -> Response:
        """Its volumes too; this cannot be undone. Its name is free once everything is removed."""
        return _verb_response(
            call, tenant, cluster, VerbRequest(Verb.DELETE, call.if_match, call.body["force"])
        )


def _verb_response(call: ApiCall, tenant: str, cluster: str, request: VerbRequest) -> Response:
    access = call.enter(tenant)
    if _is_plan(call):
        return answer(cluster_verb_plan(access=access, cluster=cluster, request=request))
    done = cluster_verb(access=access, cluster=cluster, request=request)
    return answer(cluster_json(access, done), status=202, generation=done.generation)


_VERB: Final[dict[str, Any]] = {
    "answers": {202: ClusterOut, 200: PlanOut},
    "query": PlanQuery,
    "if_match": True,
    "etag": True,
    "recheck": _may_operate,
    "redact": without_pages,
    "skip_key": _is_plan,
}


class ClusterStart(Endpoint):
    @method("cluster.start", "Start a cluster", **_VERB)
    def post(self, call: ApiCall, tenant: str, cluster: str) -> Response:
        """A stopped one, or a failed one again."""
        return _verb_response(call, tenant, cluster, VerbRequest(Verb.START, call.if_match))


class ClusterStop(Endpoint):
    @method("cluster.stop", "Stop a cluster", body=ForceIn, **_VERB)
    def post(self, call: ApiCall, tenant: str, cluster: str) -> Response:
        """Its volumes stay. An operation under way is cancelled, unless it is a deletion."""
        return _verb_response(
            call, tenant, cluster, VerbRequest(Verb.STOP, call.if_match, call.body["force"])
        )


class ClusterRelease(Endpoint):
    @method(
        "cluster.release",
        "Release a cluster that cannot be removed",
        {202: ClusterOut},
        etag=True,
        recheck=in_tenant("cluster.release"),
        redact=without_pages,
    )
    def post(self, call: ApiCall, tenant: str, cluster: str) -> Response:
        """For site admins, while it is being deleted: its name and quota are free, the rest is removed later."""
        access = call.enter(tenant)
        done = cluster_release(access=access, cluster=cluster)
        return answer(cluster_json(access, done), status=202, generation=done.generation)


class ClusterRestart(Endpoint):
    @method("cluster.restart", "Restart a cluster", body=RestartIn, **_VERB)
    def post(self, call: ApiCall, tenant: str, cluster: str) -> Response:
        """Every node is replaced, or the named ones. Their volumes stay."""
        request = VerbRequest(Verb.RESTART, call.if_match, nodes=call.body["nodes"])
        return _verb_response(call, tenant, cluster, request)


class ClusterResize(Endpoint):
    @method("cluster.resize", "Resize a cluster", body=ResizeIn, **_VERB)
    def post(self, call: ApiCall, tenant: str, cluster: str) -> Response:
        """A ready one now, a stopped one at its next start. Leaving workers finish or move their work first."""
        request = VerbRequest(
            Verb.RESIZE,
            call.if_match,
            groups=call.body["groups"],
            drain_seconds=call.body["drain_seconds"],
        )
        return _verb_response(call, tenant, cluster, request)
