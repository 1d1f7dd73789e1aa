"""All clusters of a tenant, newest first, a page at a time."""

from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpResponse, QueryDict

from controlplane.clusters.access import clusters_of
from controlplane.clusters.phases import Phase
from controlplane.console.calls import Call
from controlplane.console.frame import ConsoleRequest, show, tenant_view
from controlplane.console.rows import list_rows, rows_of
from tenants.access import Access
from tenants.names import parse_id

PAGE: Final = 50
MOST_OWNERS: Final = 200


@tenant_view()
def clusters(request: ConsoleRequest, access: Access) -> HttpResponse:
    phase, owner, before = _asked(request.GET)
    found = list_rows(access)
    found = found.filter(phase=phase) if phase else found.exclude(phase=Phase.DELETED)
    if owner:
        found = found.filter(owner__username=owner)
    if before:
        found = found.filter(id__lt=before)
    page = list(found[: PAGE + 1])
    rows = rows_of(page[:PAGE])
    query = {name: value for name, value in (("phase", phase), ("owner", owner)) if value}
    context: dict[str, Any] = {
        "rows": rows,
        "is_live": any(row.is_moving for row in rows),
        "phase": phase,
        "owner": owner,
        "phases": list(Phase),
        "owners": _owners(access),
        "is_filtered": bool(query),
        "here": _url({**query, **({"before": str(before)} if before else {})}),
        "newest": _url(query) if before else "",
        "older": _url({**query, "before": str(page[PAGE - 1].id)}) if len(page) > PAGE else "",
    }
    path = f"/tenants/{access.tenant.name}/clusters"
    return show(request, "clusters", context, access=access, calls=[Call("This list", path + _url(query))])


def _asked(query: QueryDict) -> tuple[str, str, UUID | None]:
    """What cannot be meant is left out, as if it had not been asked for."""
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
