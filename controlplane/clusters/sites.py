from typing import Final

from django.conf import settings
from django.db import connection

from controlplane.clusters.models import Site
from controlplane.clusters.models.site import SiteKind
from tenants.errors import Invalid

# In the order of the model, as from_db wants them.
_COLUMNS: Final = ("id", "name", "kind", "ready", "ready_at")


def site_for(name: str) -> Site:
    """The site asked for, or the only sensible one. Raises Invalid at /site."""
    sites = {site.name: site for site in _all()}
    if not settings.FAKE_SITE:
        sites = {key: site for key, site in sites.items() if site.kind != SiteKind.FAKE}
    if not sites:
        raise Invalid.at("/site", "There is no site yet where clusters can run.")
    if name and name not in sites:
        raise Invalid.at("/site", f"There is no site of this name; there is: {', '.join(sites)}.")
    return sites[name] if name else _default(sites)


def _all() -> list[Site]:
    """By name, with the columns that a choice needs."""
    with connection.cursor() as cursor:
        cursor.execute(  # what was removed is not there
            f"SELECT {', '.join(_COLUMNS)} FROM clusters_site WHERE removed_at IS NULL ORDER BY name"  # noqa: S608
        )
        return [Site.from_db("default", _COLUMNS, row) for row in cursor.fetchall()]


def _default(sites: dict[str, Site]) -> Site:
    if len(sites) == 1:
        return next(iter(sites.values()))
    """A Kubernetes that was ever ready, also while it is in trouble: this machine shuts nobody off from anybody."""
    pods = [site for site in sites.values() if site.ready_at and site.kind == SiteKind.KUBERNETES]
    pods.sort(key=lambda site: not site.ready)
    local = [site for site in sites.values() if site.kind == SiteKind.LOCAL]
    return (pods or local or list(sites.values()))[0]
