import re
from typing import Any

from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.endpoint import ApiCall, Endpoint, answer, method
from controlplane.api.fields import Choice
from controlplane.api.openapi import page_shape
from controlplane.api.pagination import Order, page
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
        help_text="Whether tenants are proved to be isolated from each other; none: this kind does not isolate them.",
    )
    message = serializers.CharField(
        allow_blank=True,
        help_text="Why it is not ready; only site admins see the details.",
    )
    checked_at = serializers.DateTimeField(allow_null=True)
    proof = serializers.CharField(
        allow_blank=True,
        help_text="What was tried to prove the isolation, in words; only site admins see it.",
    )
    proved_at = serializers.DateTimeField(allow_null=True)


def site_json(site: Site, *, details: bool) -> dict[str, Any]:
    """details: with the site's own messages, which name paths, and clusters of every tenant."""
    return {
        "name": site.name,
        "kind": site.kind,
        "ready": site.ready,
        "isolation": site.isolation,
        "message": site.message if details else _message_without_details(site),
        "checked_at": rfc3339(site.checked_at),
        "proof": site.proof if details else "",
        "proved_at": rfc3339(site.proved_at),
    }


def _message_without_details(site: Site) -> str:
    if site.ready:
        return ""
    found = re.match(r"([A-Z][A-Z_]+):", site.message)
    why = f" ({found[1]})" if found else ""
    return f"The site is not ready{why}. A site admin can see why."


class Sites(Endpoint):
    @method("site.list", "Where clusters can run", {200: page_shape("Site", SiteOut)}, query=PageQuery)
    def get(self, call: ApiCall) -> Response:
        """As a worker last found them. Sites that no tenant of the user may use are left out."""
        require_scope(call.actor, "sites:read")
        sites, order = known_sites(call.actor), Order("name", str, newest_first=False)
        details = call.actor.above_tenants
        return answer(
            page(
                sites,
                call.query,
                order=order,
                to_json=lambda rows: [site_json(row, details=details) for row in rows],
            )
        )
