"""The list of a tenant's clusters, newest first, in pages."""

from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpResponse, QueryDict

from controlplane.clusters.access import clusters_of
from controlplane.clusters.phases import Phase
from controlplane.clusters.queries.cluster_list import ClusterFilter, clusters_page
from controlplane.console.calls import Call
from controlplane.console.cluster_rows import COLUMNS, rows_of
from controlplane.console.frame import ConsoleRequest, show, tenant_view
from tenants.access import Access
from tenants.names import parse_id

PAGE: Final = 50
MOST_OWNERS: Final = 200


@tenant_view()
def clusters(request: ConsoleRequest, access: Access) -> HttpResponse:
    phase, owner, before = _read_query(request.GET)
    page = clusters_page(access, ClusterFilter(phase=phase, owner=owner), most=PAGE + 1, after=before)
    rows = rows_of(access, page[:PAGE])
    query = {name: value for name, value in (("phase", phase), ("owner", owner)) if value}
    context: dict[str, Any] = {
        "rows": rows,
        "columns": list(COLUMNS.values()),
        "is_live": any(row.is_moving for row in rows),
        "phase": phase,
        "owner": owner,
        "phases": list(Phase),
        "owners": _owners(access),
        "is_filtered": bool(query),
        "here": _url({**query, **({"before": str(before)} if before else {})}),
        "newest": _url(query) if before else "",
        "older": _url({**query, "before": page[PAGE - 1].id}) if len(page) > PAGE else "",
    }
    path = f"/tenants/{access.tenant.name}/clusters"
    return show(request, "clusters", context, access=access, calls=[Call("This list", path + _url(query))])


def _read_query(query: QueryDict) -> tuple[str, str, UUID | None]:
    """Phase, owner and the cluster to go on after. Values that cannot be meant count as absent."""
    phase, owner = query.get("phase", ""), query.get("owner", "")
    return (
        phase if phase in set(Phase) else "",
        owner if owner.isprintable() else "",
        parse_id(query.get("before", "")),
    )


def _owners(access: Access) -> list[str]:
    living: Any = clusters_of(access).exclude(phase=Phase.DELETED)
    names = living.order_by("owner__username").values_list("owner__username", flat=True).distinct()
    return list(names[:MOST_OWNERS])


def _url(query: dict[str, str]) -> str:
    return f"?{urlencode(query)}" if query else ""
