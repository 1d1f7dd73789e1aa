"""Clusters as the console's lists show them. None takes a query per row."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from controlplane.clusters.access import opens_pages
from controlplane.clusters.endpoints import endpoints
from controlplane.clusters.outlines import outlines_of
from controlplane.clusters.queries.cluster_list import ClusterFilter, clusters_page
from controlplane.clusters.queries.reads import ready_nodes
from controlplane.clusters.read_model import FIELDS, ClusterRow
from tenants.access import Access

# The columns of the list that come from the read model: field and title.
COLUMNS: Final = {field.name: field.shown.column for field in FIELDS if field.shown.column}


@dataclass(frozen=True, slots=True)
class Row:
    """ready, wanted: numbers of nodes. pages: [{"name", "group", "url", "dashboard"}] that can be opened now."""

    cluster: ClusterRow
    ready: int
    wanted: int
    pages: Sequence[dict[str, Any]] = ()

    @property
    def is_moving(self) -> bool:
        return self.cluster.is_moving

    @property
    def columns(self) -> list[str]:
        """The values of COLUMNS."""
        return [plain(getattr(self.cluster, name)) for name in COLUMNS]


def plain(value: Any) -> str:
    """A value of a document as text: JSON where it is no text."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def rows_of(access: Access, clusters: Sequence[ClusterRow], *, with_pages: bool = False) -> list[Row]:
    ready, outlines = ready_nodes(cluster.id for cluster in clusters), outlines_of(clusters)
    opens = with_pages and bool(ready) and opens_pages(access)
    found = []
    for cluster in clusters:
        groups, outline = ready.get(cluster.id, {}), outlines[cluster.id]
        services = endpoints(cluster, outline.launch, groups, open_pages=opens) if with_pages else []
        count = sum(nodes.count for nodes in groups.values())
        found.append(Row(cluster, count, outline.node_count, openable(services)))
    return found


def my_rows(access: Access, most: int) -> list[Row]:
    """What the user owns or may use by a share, newest first, each with the pages to open."""
    return rows_of(access, clusters_page(access, ClusterFilter(mine=True), most=most), with_pages=True)


def openable(services: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The pages that can be opened now; those with a token, such as notebooks, come first."""
    pages = [service for service in services if service.get("dashboard") and service.get("url")]
    return sorted(pages, key=lambda page: "?token=" not in page["url"])
