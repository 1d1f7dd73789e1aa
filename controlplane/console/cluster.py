"""The page of a cluster: its state, operation, services, nodes and actions."""

from collections.abc import Mapping
from typing import Any, Final

from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone

from controlplane.clusters import selectors
from controlplane.clusters.access import cluster_for, is_mine, may_open_pages
from controlplane.clusters.endpoints import endpoints
from controlplane.clusters.models import Cluster, Node, NodeLog, Observation
from controlplane.clusters.models.operation import LIVE
from controlplane.clusters.models.site import SiteKind
from controlplane.clusters.phases import Phase, Verb
from controlplane.clusters.queries.reads import ready_nodes
from controlplane.clusters.read_model import FIELDS, ClusterRow, row_of
from controlplane.console.buttons import buttons
from controlplane.console.calls import Call
from controlplane.console.cluster_rows import openable, plain
from controlplane.console.frame import ConsoleRequest, show, tenant_view
from controlplane.console.progress import OperationProgress, progress_of
from tenants.access import Access

MOST_EVENTS: Final = 50


@tenant_view()
def cluster(request: ConsoleRequest, access: Access, cluster: str) -> HttpResponse:
    found = cluster_for(access, cluster)
    context = _context(access, found)
    if request.htmx:
        context["announce"] = "" if request.GET.get("said") == context["said"] else context["sentence"]
    return show(request, "cluster", context, access=access, calls=_calls(access, found))


def _context(access: Access, found: Cluster) -> dict[str, Any]:
    now = timezone.now()
    observations = selectors.observations_of([found]).get(found.id, {})
    last = found.last_operation = selectors.operations_of(access, found).first()
    live = last if last is not None and last.state in LIVE else None
    row, progress, launch = row_of(access, found), progress_of(last, now), found.launch
    nodes = [_node(node, observations.get(node.name)) for node in selectors.nodes_of(found)]
    services = _services(access, found, row)
    can = buttons(access, found, live)
    said, sentence = _announcement(row, progress)
    return {
        "cluster": row,
        "facts": _facts(row),
        "launch": launch,
        "preset": found.requested["preset"],
        "settings": [(name, plain(value)) for name, value in sorted(launch.settings.items())],
        "requested": _requested(found),
        "now": now,
        "is_live": row.is_moving,
        "part_url": reverse("console:cluster", kwargs={"tenant": access.tenant.name, "cluster": found.id}),
        "said": said,
        "sentence": sentence,
        "progress": progress,
        "nodes": nodes,
        "ready_nodes": sum(node["state"] == "ready" for node in nodes),
        "wanted_nodes": sum(group.count for group in launch.groups),
        "may_read_logs": access.may("cluster.logs_own" if is_mine(access, found) else "cluster.logs_any"),
        "kept_logs": [] if nodes else _kept_logs(found),
        "services": services,
        "pages": openable(services),
        "events": list(selectors.events_of(found)[:MOST_EVENTS]),
        "actions": can,
        "replace_url": next((one.url for one in can if one.name == Verb.RESTART and not one.reason), ""),
        "takes": (launch.keeps if found.phase == Phase.STOPPED else launch.takes).to_json(),
    }


def _facts(row: ClusterRow) -> list[tuple[str, str]]:
    """The fields of the read model that have a title among the facts of the page."""
    return [(field.shown.fact, plain(getattr(row, field.name))) for field in FIELDS if field.shown.fact]


def _requested(found: Cluster) -> list[tuple[str, str]]:
    """What the request changed of the template's defaults, such as "worker count" and "4"."""
    groups = found.requested["groups"].items()
    sizes = [(f"{group} {name}", plain(value)) for group, chosen in groups for name, value in chosen.items()]
    return [*sizes, *((name, plain(value)) for name, value in found.requested["parameters"].items())]


def _announcement(row: ClusterRow, progress: OperationProgress | None) -> tuple[str, str]:
    """A key that changes exactly when the announcement does, and the announcement for screen readers."""
    step = progress.current if progress and progress.is_live else None
    said = f"{row.phase}.{step.name}" if step else row.phase
    return said, f"{row.name} is {row.phase}" + (f": {step.title}" if step else "") + "."


def _node(node: Node, observation: Observation | None) -> dict[str, Any]:
    leaving = node.leaving or node.ending
    state = observation.state if observation else "pending"
    return {
        "name": node.name,
        "group": node.group,
        "role": node.role,
        "state": "ending" if leaving and state not in {"draining", "drained", "ended"} else state,
        "message": observation.message if observation else "",
        "reason": observation.reason if observation else "",
        "attempt": node.attempt,
    }


def _kept_logs(found: Cluster) -> list[str]:
    """The nodes of the last run whose logs were kept."""
    kept = NodeLog.objects.filter(cluster=found, run=found.run)
    return list(kept.order_by("name").values_list("name", flat=True).distinct())


def _services(access: Access, found: Cluster, row: ClusterRow) -> list[dict[str, Any]]:
    may_open, ready = may_open_pages(access, found), ready_nodes([row.id]).get(row.id, {})
    return [
        {**service, "why_closed": _why_closed(row, service, may_open)}
        for service in endpoints(row, found.launch, ready, open_pages=may_open)
    ]


def _why_closed(row: ClusterRow, service: Mapping[str, Any], may_open: bool) -> str:
    if service.get("url") or service.get("address"):
        return ""
    if service.get("idle"):
        return "Not in use now."
    if "url" in service and not may_open:
        return "Opens only for the owner and those it is shared with."
    if "url" in service and row.site_kind != SiteKind.LOCAL:
        return "This site has no gateway to it."
    return "Not running." if row.phase in {Phase.STOPPED, Phase.DELETED} else "Not ready yet."


def _calls(access: Access, found: Cluster) -> list[Call]:
    ident = str(found.id) if found.phase == Phase.DELETED else found.name
    path = f"/tenants/{access.tenant.name}/clusters/{ident}"
    return [
        Call("This cluster", path),
        Call("Its nodes", f"{path}/nodes"),
        Call("Its events", f"{path}/events"),
        Call("Stop it", f"{path}:stop", method="POST", body={}),
        Call("Start it", f"{path}:start", method="POST", body={}),
        Call("Configure it while it is stopped", path, method="PATCH", body={"parameters": {}, "groups": {}}),
        Call("Delete it", path, method="DELETE"),
    ]
