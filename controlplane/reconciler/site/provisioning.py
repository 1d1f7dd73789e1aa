"""From the row of a site to the provisioner that works there."""

import hmac
import json

from django.conf import settings

from controlplane.clusters.models import Site
from controlplane.provisioners import registry
from controlplane.provisioners.base import CHANGED_DELAY, SITE_CHANGED, Provisioner, SiteUnknown


def provisioner_of(site: Site) -> Provisioner:
    """Raises SiteUnknown SITE_CHANGED while the site is not the one that its clusters are on."""
    if site.changed:
        raise SiteUnknown(
            SITE_CHANGED,
            f"{site.name} leads to another Kubernetes than the one that its clusters are on; nothing is asked of it "
            "until a site admin has put that right.",
            delay=CHANGED_DELAY,
        )
    return provisioner_whatever(site)


def provisioner_whatever(site: Site) -> Provisioner:
    """For finding out which one it is."""
    return registry.provisioner(site.kind, site.name, settings.DATA_DIR / "sites", _settings(site))


def installation_id() -> str:
    """16 hexadecimal digits that tell this installation from every other one that shares a site with it."""
    return hmac.new(settings.INSTALLATION_KEY.encode(), b"installation", "sha256").hexdigest()[:16]


def _settings(site: Site) -> str:
    ours = {"installation": installation_id(), "identity": site.identity}
    return json.dumps({**site.settings, **ours}, sort_keys=True)
