from typing import Any

from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.endpoint import Call, Endpoint, answer, operation
from controlplane.api.fields import Choice
from controlplane.api.pagination import Order, page
from controlplane.api.schema import page_shape
from controlplane.api.shapes import Out, PageQuery
from controlplane.api.v1.common import rfc3339
from controlplane.clusters.models import Site
from controlplane.clusters.models.site import SiteKind
from controlplane.clusters.sites import known_sites
from tenants.access import require_scope


class SiteOut(Out):
    name = serializers.CharField()
    kind = Choice(list(SiteKind.values))
    ready = serializers.BooleanField()
    isolation = Choice(
        ["proved", "not enforced", "unknown", "none"],
        help_text="Whether tenants are proved to be shut off from one another; none: this kind does not do that.",
    )
    message = serializers.CharField(allow_blank=True)
    checked_at = serializers.DateTimeField(allow_null=True)
    proof = serializers.CharField(
        allow_blank=True, help_text="What was tried to prove the isolation, in words."
    )
    proved_at = serializers.DateTimeField(allow_null=True)


def site_json(site: Site) -> dict[str, Any]:
    return {
        "name": site.name,
        "kind": site.kind,
        "ready": site.ready,
        "isolation": site.isolation,
        "message": site.message,
        "checked_at": rfc3339(site.checked_at),
        "proof": site.proof,
        "proved_at": rfc3339(site.proved_at),
    }


class Sites(Endpoint):
    @operation("site.list", "Where clusters can run", {200: page_shape("Site", SiteOut)}, query=PageQuery)
    def get(self, call: Call) -> Response:
        """As a worker last found them. A site that none of one's tenants may use is not there."""
        require_scope(call.actor, "sites:read")
        sites, order = known_sites(call.actor), Order("name", str, newest_first=False)
        return answer(
            page(sites, call.query, order=order, to_json=lambda rows: [site_json(row) for row in rows])
        )
