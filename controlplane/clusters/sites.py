"""Which sites a tenant and a user may use. To others a site does not exist."""

from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet

from controlplane.clusters.models import Site
from controlplane.clusters.models.site import SiteKind
from controlplane.clusters.queries.reads import sites_allowed
from tenants.access import known_tenants
from tenants.actors import Actor
from tenants.errors import Conflict, Invalid


def site_for(name: str, tenant_id: UUID, *, lock: bool = False) -> Site:
    """The site of this name, or (name "") the default one, of those that the tenant may use. Raises Invalid at /site.

    lock: no site is removed, moved or denied to the tenant before the transaction ends.
    """
    sites = {site.name: site for site in sites_allowed(tenant_id, lock=lock)}
    if not settings.FAKE_SITE:
        sites = {key: site for key, site in sites.items() if site.kind != SiteKind.FAKE}
    if not sites:
        raise Invalid.at("/site", "There is no site yet where clusters can run.")
    if name and name not in sites:
        raise Invalid.at("/site", f"There is no site of this name; there is: {', '.join(sites)}.")
    return sites[name] if name else _default(sites)


def known_sites(actor: Actor) -> QuerySet[Site]:
    """The sites that some tenant of the actor may use; all sites for a site admin."""
    sites = Site.objects.all()
    if not settings.FAKE_SITE:
        sites = sites.exclude(kind=SiteKind.FAKE)
    if actor.above_tenants:
        return sites
    allowed = Site.tenants.through.objects.filter(tenant__in=known_tenants(actor).values("pk"))
    return sites.filter(Q(everyone=True) | Q(pk__in=allowed.values("site")))


def require_allowed(site: Site, tenant_id: UUID) -> None:
    """For changes that run more at the site. Raises Conflict SITE_NOT_ALLOWED.

    Clusters that run at a site go on when it is denied to their tenant, and come back with a tenant that is resumed.
    """
    if not site.everyone and not site.tenants.filter(id=tenant_id).exists():
        raise Conflict(
            "SITE_NOT_ALLOWED",
            "The tenant may not use the cluster's site any more. A site admin can allow it there; "
            "what the cluster keeps stays until it is deleted.",
        )


def _default(sites: dict[str, Site]) -> Site:
    """A Kubernetes site that was ready once, a ready one first; else this machine, which does not isolate tenants."""
    if len(sites) == 1:
        return next(iter(sites.values()))
    pods = [site for site in sites.values() if site.ready_at and site.kind == SiteKind.KUBERNETES]
    pods.sort(key=lambda site: not site.ready)
    local = [site for site in sites.values() if site.kind == SiteKind.LOCAL]
    return (pods or local or list(sites.values()))[0]
