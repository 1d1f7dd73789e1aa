"""Pages of clusters: one statement a page, spelled out, and no models.

A list is what clients ask for most, and building its statement anew took longer than answering it.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import connection

from controlplane.clusters.access import SHARE_PERMISSION, is_mine
from controlplane.clusters.models import Cluster
from controlplane.clusters.phases import Phase
from tenants.access import Access, allow

# A live operation is the newest, as only one can be live and every change begins one.
_READ: Final = """
SELECT c.id::text, c.name, u.username, s.name, s.kind, c.template_revision_id, c.goal, c.phase, c.generation,
       c.observed_generation, c.run, c.link_version, c.reason, c.message, c.conditions, c.created_at, c.ready_at,
       c.deleted_at,
       c.owner_id = %(asker)s OR EXISTS (
         SELECT FROM clusters_clustershare h JOIN auth_permission p ON p.id = h.permission_id
          WHERE h.content_object_id = c.id AND h.user_id = %(asker)s AND p.codename = %(share)s),
       o.*
  FROM clusters_cluster c
  JOIN tenants_user u ON u.id = c.owner_id
  JOIN clusters_site s ON s.id = c.site_id
  LEFT JOIN LATERAL (
         SELECT id::text, kind, state, created_at, ended_at, deadline, reason, message
           FROM clusters_operation WHERE cluster_id = c.id ORDER BY id DESC LIMIT 1) o ON true
 WHERE c.tenant_id = %(tenant)s AND {chosen} ORDER BY c.id DESC LIMIT %(most)s
"""
_CHOSEN: Final = {
    "after": "c.id < %(after)s",
    "phase": "c.phase = %(phase)s",
    "owner": "u.username = %(owner)s",
    "site": "s.name = %(site)s",
    "template": """c.template_revision_id IN (SELECT r.id FROM templates_templaterevision r
                   JOIN templates_template t ON t.id = r.template_id WHERE t.name = %(template)s)""",
}


class LastOperation(NamedTuple):
    id: str
    kind: str
    state: str
    created_at: datetime
    ended_at: datetime | None
    deadline: datetime | None
    reason: str
    message: str


class SiteRef(NamedTuple):
    name: str
    kind: str


class ListedCluster(NamedTuple):
    """What a list shows of a cluster, mostly under the names of the model.

    mine: owned by, or shared with, the asker.
    """

    id: str
    name: str
    owner_name: str
    site: SiteRef
    template_revision_id: UUID
    goal: str
    phase: str
    generation: int
    observed_generation: int
    run: int
    link_version: int
    reason: str
    message: str
    conditions: list[dict[str, Any]]
    created_at: datetime
    ready_at: datetime | None
    deleted_at: datetime | None
    mine: bool
    last_operation: LastOperation | None

    @property
    def pk(self) -> str:
        return self.id


_OWN: Final = frozenset({"id", "owner_name", "site", "mine", "last_operation"})
_ALIKE: Final = tuple(name for name in ListedCluster._fields if name not in _OWN)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Names to narrow a list to; "" for any. phase "": all but deleted ones."""

    phase: str = ""
    owner: str = ""
    site: str = ""
    template: str = ""


def clusters_page(
    access: Access, chosen: Chosen, *, most: int, after: UUID | None = None
) -> list[ListedCluster]:
    """Newest first, at most `most`, those older than `after`. Raises NeedsScope, NeedsRole."""
    allow(access, "cluster.read")
    wanted: dict[str, Any] = {"after": after}
    wanted |= {name: getattr(chosen, name) for name in ("phase", "owner", "site", "template")}
    parts = [sql for name, sql in _CHOSEN.items() if wanted[name]]
    if not chosen.phase:
        parts.append(f"c.phase <> '{Phase.DELETED}'")
    values = wanted | {
        "asker": access.actor.user_id,
        "share": SHARE_PERMISSION,
        "tenant": access.tenant.pk,
        "most": most,
    }
    with connection.cursor() as cursor:
        cursor.execute(_READ.format(chosen=" AND ".join(parts)), values)
        return [_listed(row) for row in cursor.fetchall()]


def as_listed(access: Access, cluster: Cluster) -> ListedCluster:
    """One that was read by itself, or has just been written, as a list would have it."""
    return ListedCluster(
        id=str(cluster.pk),
        owner_name=cluster.owner.username,
        site=SiteRef(cluster.site.name, cluster.site.kind),
        mine=is_mine(access, cluster),
        last_operation=_last_operation(cluster),
        **{name: getattr(cluster, name) for name in _ALIKE},
    )


def _last_operation(cluster: Cluster) -> LastOperation | None:
    found = cluster.begun or cluster.operations.order_by("-id").first()
    if found is None:
        return None
    return LastOperation(str(found.pk), *(getattr(found, name) for name in LastOperation._fields[1:]))


def _listed(row: tuple[Any, ...]) -> ListedCluster:
    (*first, site, kind), (*middle, conditions), rest, operation = row[:5], row[5:15], row[15:19], row[19:]
    last = None if operation[0] is None else LastOperation(*operation)
    site = SiteRef(site, kind)
    return ListedCluster._make((*first, site, *middle, json.loads(conditions), *rest, last))
