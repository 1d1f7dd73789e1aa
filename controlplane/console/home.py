"""The first page: quick launch, and the user's own clusters."""

from typing import Any, Final

from django.contrib import messages
from django.http import HttpResponse

from controlplane.clusters.access import cluster_for, is_mine
from controlplane.clusters.services import cluster_create
from controlplane.clusters.services.create import ClusterRequest
from controlplane.console.calls import Call
from controlplane.console.cluster_rows import my_rows
from controlplane.console.frame import ConsoleRequest, see_other, show, site_view, tenant_view
from controlplane.console.tiles import generated_name, tiles
from tenants.access import Access
from tenants.errors import Conflict
from tenants.models import User
from tenants.selectors import tenants_of

MOST_CARDS: Final = 12
MOST_NAMED: Final = 5


@site_view()
def start(request: ConsoleRequest) -> HttpResponse:
    """Redirects to the last tenant of the session, else to the first. A user without any learns whom to ask."""
    known = [tenant for tenant in tenants_of(request.actor)[:200] if tenant.asker_role is not None]
    if not known and request.actor.above_tenants:
        return see_other("console:tenants")
    if not known:
        admins = User.objects.filter(is_superuser=True, is_active=True).order_by("username")
        names = list(admins.values_list("username", flat=True)[:MOST_NAMED])
        return show(request, "nowhere", {"admins": names}, calls=[Call("Who am I?", "/me")])
    last = request.session.get("tenant")
    chosen = next((tenant for tenant in known if tenant.name == last), known[0])
    return see_other("console:home", tenant=chosen.name)


@tenant_view()
def home(request: ConsoleRequest, access: Access) -> HttpResponse:
    rows = my_rows(access, MOST_CARDS)
    context: dict[str, Any] = {"rows": rows, "is_live": any(row.is_moving for row in rows)}
    if request.htmx:
        return show(request, "home", context, access=access)
    found = tiles(access)
    example = found[0].template.name if found else "spark"
    calls = [
        Call("My clusters", f"/tenants/{access.tenant.name}/clusters?owner={request.actor.username}"),
        Call("What can be launched", f"/tenants/{access.tenant.name}/templates"),
        Call(
            "Launch one",
            f"/tenants/{access.tenant.name}/clusters",
            method="POST",
            body={"name": generated_name(example), "template": example},
        ),
    ]
    return show(request, "home", {**context, "tiles": found}, access=access, calls=calls)


@tenant_view(methods=("POST",), back="console:home", verb="cluster.create")
def launch(request: ConsoleRequest, access: Access) -> HttpResponse:
    """Launch with one click. The form has the name, so a click that is sent twice launches once."""
    template = request.POST.get("template", "")
    name = request.POST.get("name") or generated_name(template)
    try:
        cluster_create(access=access, name=name, request=ClusterRequest(template, groups={}, parameters={}))
    except Conflict as refusal:
        if refusal.reason != "NAME_TAKEN" or not is_mine(access, cluster_for(access, name)):
            raise
        messages.info(request, f"{name} was launched already.")
    else:
        messages.success(request, f"{name} is on its way.")
    return see_other("console:cluster", tenant=access.tenant.name, cluster=name)
