from functools import partial
from typing import Any

from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.endpoint import ApiCall, Endpoint, Path, Recheck, answer, method
from controlplane.api.openapi import page_shape
from controlplane.api.pagination import Order, page
from controlplane.api.shapes import Out, PageQuery
from controlplane.api.v1.closings import RightsPlanOut, is_plan, rights_plan
from controlplane.api.v1.common import PlanQuery, rfc3339
from controlplane.clusters.access import cluster_for
from controlplane.clusters.models import ClusterShare
from controlplane.clusters.services import cluster_share, cluster_unshare
from tenants.access import Permission, allow


class ShareOut(Out):
    user = serializers.CharField()
    since = serializers.DateTimeField()


def share_json(share: ClusterShare) -> dict[str, Any]:
    return {"user": share.user.username, "since": rfc3339(share.created_at)}


def _owner_or(others: Permission) -> Recheck:
    """A recheck that the user owns the cluster and may operate it, or has the permission for those of others."""

    def recheck(call: ApiCall, path: Path) -> None:
        access = call.enter(path["tenant"])
        mine = cluster_for(access, path["cluster"]).owner_id == call.actor.user_id
        allow(access, "cluster.operate_own" if mine else others)

    return recheck


class Shares(Endpoint):
    @method(
        "share.list",
        "The users that a cluster is shared with",
        {200: page_shape("Share", ShareOut)},
        query=PageQuery,
    )
    def get(self, call: ApiCall, tenant: str, cluster: str) -> Response:
        found = cluster_for(call.enter(tenant), cluster)
        listed = page(
            found.shares.select_related("user"),
            call.query,
            order=Order("user__username", str, newest_first=False),
            to_json=lambda rows: [share_json(row) for row in rows],
        )
        return answer(listed)


class Share(Endpoint):
    @method("share.put", "Share a cluster", {200: ShareOut}, recheck=_owner_or("cluster.open_any"))
    def put(self, call: ApiCall, tenant: str, cluster: str, user: str) -> Response:
        """Another member may then use it like its owner, its pages too: the owner's alone to decide."""
        share = cluster_share(access=call.enter(tenant), cluster=cluster, username=user)
        return answer(share_json(share))

    @method(
        "share.remove",
        "Take a share back",
        {204: None, 200: RightsPlanOut},
        query=PlanQuery,
        recheck=_owner_or("cluster.operate_any"),
        skip_key=is_plan,
    )
    def delete(self, call: ApiCall, tenant: str, cluster: str, user: str) -> Response:
        """The owner's to decide, or an admin's. All links to the cluster's pages are replaced; its kernels go on."""
        access = call.enter(tenant)
        change = partial(cluster_unshare, access=access, cluster=cluster, username=user)
        if is_plan(call):
            return rights_plan(change, username=user, tenant_id=access.tenant.pk)
        change()
        return answer(status=204)
