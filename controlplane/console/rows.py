"""A cluster as lists show it: one row each, no query per row."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Q, QuerySet

from controlplane.clusters.access import opens_pages
from controlplane.clusters.endpoints import endpoints
from controlplane.clusters.models import Cluster
from controlplane.clusters.phases import TRANSIENT, Phase
from controlplane.clusters.selectors import ReadyNodes, clusters_list, ready_nodes
from templates.stored import launch_from_json
from tenants.access import Access


@dataclass(frozen=True, slots=True)
class Row:
    """pages: [{"name", "group", "url", "dashboard"}], those that can be opened now."""

    cluster: Cluster
    ready: int
    wanted: int
    pages: Sequence[dict[str, Any]] = ()

    @property
    def is_moving(self) -> bool:
        return moves(self.cluster, bool(self.cluster.live_operations))  # type: ignore[attr-defined]


def moves(cluster: Cluster, has_live_operation: bool) -> bool:
    """Whether the page of it will change by itself soon."""
    return has_live_operation or cluster.phase in TRANSIENT


def list_rows(access: Access) -> QuerySet[Cluster]:
    """As clusters_list, without the bodies of apps and templates; `groups` has what the cluster consists of."""
    heavy = ("effective", "requested", "template_revision__body", "template_revision__takes")
    return clusters_list(access).defer(*heavy).annotate(groups=F("effective__groups"))


def rows_of(clusters: Iterable[Cluster]) -> list[Row]:
    clusters = list(clusters)
    ready = ready_nodes(clusters)
    return [_row(cluster, ready.get(cluster.id, {}), cluster.groups) for cluster in clusters]  # type: ignore[attr-defined]


def my_rows(access: Access, most: int) -> list[Row]:
    """What the asker owns or was given a share of, newest first, each with the pages to open."""
    mine = Q(owner_id=access.actor.user_id) | Q(shared_with_me=True)
    found = clusters_list(access).filter(mine).exclude(phase=Phase.DELETED)[:most]
    clusters = list(found)
    ready, may_open = ready_nodes(clusters), bool(clusters) and opens_pages(access)
    return [_with_pages(cluster, ready.get(cluster.id, {}), may_open) for cluster in clusters]


def _row(
    cluster: Cluster,
    ready: dict[str, ReadyNodes],
    groups: Sequence[dict[str, Any]],
    pages: Sequence[Any] = (),
) -> Row:
    count = sum(nodes.count for nodes in ready.values())
    return Row(cluster=cluster, ready=count, wanted=sum(group["count"] for group in groups), pages=pages)


def _with_pages(cluster: Cluster, ready: dict[str, ReadyNodes], may_open: bool) -> Row:
    launch = launch_from_json(cluster.effective)
    found = endpoints(cluster, launch, ready, open_pages=may_open)
    return _row(cluster, ready, cluster.effective["groups"], openable(found))


def openable(services: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The pages that can be opened now, first those that are the asker's own by a token: notebooks."""
    pages = [service for service in services if service.get("dashboard") and service.get("url")]
    return sorted(pages, key=lambda page: "?token=" not in page["url"])
