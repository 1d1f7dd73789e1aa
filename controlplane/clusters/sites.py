"""Which sites there are for whom. A site that a tenant may not use is, for that tenant, not there."""

import json
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Q, QuerySet

from controlplane.clusters.models import Site
from controlplane.clusters.models.site import SiteKind
from tenants.access import known_tenants
from tenants.actors import Actor
from tenants.errors import Conflict, Invalid

# In the order of the model, as from_db wants them.
_COLUMNS: Final = ("id", "name", "kind", "ready", "ready_at", "capacity")
# What was removed is not there. Spelled out, as every launch asks it.
_ALLOWED: Final = f"""
SELECT {", ".join(_COLUMNS)} FROM clusters_site s
 WHERE removed_at IS NULL
   AND (everyone OR EXISTS (SELECT FROM clusters_site_tenants WHERE site_id = s.id AND tenant_id = %s))
 ORDER BY name
"""  # noqa: S608


def site_for(name: str, tenant_id: UUID, *, lock: bool = False) -> Site:
    """The site asked for, or the only sensible one, of those that the tenant may use. Raises Invalid at /site.

    lock: none of them is removed, moved or denied before the transaction ends.
    """
    sites = {site.name: site for site in _allowed(tenant_id, lock=lock)}
    if not settings.FAKE_SITE:
        sites = {key: site for key, site in sites.items() if site.kind != SiteKind.FAKE}
    if not sites:
        raise Invalid.at("/site", "There is no site yet where clusters can run.")
    if name and name not in sites:
        raise Invalid.at("/site", f"There is no site of this name; there is: {', '.join(sites)}.")
    return sites[name] if name else _default(sites)


def known_sites(actor: Actor) -> QuerySet[Site]:
    """Those that some tenant of the actor's may use; all of them for a site admin."""
    sites = Site.objects.all()
    if not settings.FAKE_SITE:
        sites = sites.exclude(kind=SiteKind.FAKE)
    if actor.above_tenants:
        return sites
    allowed = Site.tenants.through.objects.filter(tenant__in=known_tenants(actor).values("pk"))
    return sites.filter(Q(everyone=True) | Q(pk__in=allowed.values("site")))


def require_allowed(site: Site, tenant_id: UUID) -> None:
    """For what would run there anew. What runs there goes on when its tenant is not allowed there any more, and comes
    back with a tenant that is resumed.

    Raises Conflict SITE_NOT_ALLOWED.
    """
    if not site.everyone and not site.tenants.filter(id=tenant_id).exists():
        raise Conflict(
            "SITE_NOT_ALLOWED",
            "The tenant may not use the cluster's site any more. A site admin can allow it there; "
            "what the cluster keeps stays until it is deleted.",
        )


def _allowed(tenant_id: UUID, *, lock: bool) -> list[Site]:
    """By name, with the columns that a choice needs."""
    with connection.cursor() as cursor:
        cursor.execute(f"{_ALLOWED} FOR KEY SHARE" if lock else _ALLOWED, [tenant_id])
        rows = cursor.fetchall()
    return [Site.from_db("default", _COLUMNS, (*row[:-1], json.loads(row[-1] or "null"))) for row in rows]


def _default(sites: dict[str, Site]) -> Site:
    """A Kubernetes that was ever ready, also while it is in trouble: this machine shuts nobody off from anybody."""
    if len(sites) == 1:
        return next(iter(sites.values()))
    pods = [site for site in sites.values() if site.ready_at and site.kind == SiteKind.KUBERNETES]
    pods.sort(key=lambda site: not site.ready)
    local = [site for site in sites.values() if site.kind == SiteKind.LOCAL]
    return (pods or local or list(sites.values()))[0]
