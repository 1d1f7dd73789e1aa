"""The list of all tenants, for site admins."""

from typing import Any, Final
from urllib.parse import urlencode

from django.db.models import Count
from django.http import HttpResponse

from controlplane.console.calls import Call
from controlplane.console.frame import ConsoleRequest, show, site_view
from tenants.access import require_site_admin
from tenants.models import Limit
from tenants.quota import limit_json
from tenants.selectors import tenants_of

PAGE: Final = 50
SHOWN: Final = ("clusters", "cpu", "memory")


@site_view()
def tenants(request: ConsoleRequest) -> HttpResponse:
    require_site_admin(request.actor, "tenants:read")
    after = request.GET.get("after", "")
    found = tenants_of(request.actor).annotate(members=Count("memberships"))
    if after.isprintable() and after:
        found = found.filter(name__gt=after)
    page = list(found[: PAGE + 1])
    limits = {row.tenant_id: row for row in Limit.objects.filter(tenant__in=page, user=None)}
    context: dict[str, Any] = {
        "rows": [{"tenant": tenant, "held": _held(limits[tenant.pk])} for tenant in page[:PAGE]],
        "first": bool(after),
        "next": f"?{urlencode({'after': page[PAGE - 1].name})}" if len(page) > PAGE else "",
    }
    calls = [
        Call("This list", "/tenants"),
        Call(
            "A new tenant", "/tenants", method="POST", body={"name": "acme", "display_name": "Acme research"}
        ),
        Call("A member", "/tenants/acme/members/bob", method="PUT", body={"role": "member"}),
    ]
    return show(request, "tenants", context, calls=calls)


def _held(row: Limit) -> list[dict[str, Any]]:
    """The levels of the resources that are columns of the table, in their order."""
    levels = {level["resource"]: level for level in limit_json(row)}
    return [levels[resource] for resource in SHOWN]
