"""From the row of a site to its provisioner."""

import hmac
import json

from django.conf import settings

from controlplane.clusters.models import Site
from controlplane.provisioners import registry
from controlplane.provisioners.base import (
    CHANGED_DELAY,
    SITE_CHANGED,
    Provisioner,
    SettingsInvalid,
    SiteUnknown,
    WrongSite,
)


def provisioner_of(site: Site) -> Provisioner:
    """Raises WrongSite SITE_CHANGED while the site is not the one of its clusters, SiteUnknown SITE_SETTINGS."""
    if site.changed:
        raise WrongSite(
            SITE_CHANGED,
            f"{site.name} leads to another Kubernetes than the one that its clusters are on; Slipway does not use it "
            "until a site admin has put that right.",
            delay=CHANGED_DELAY,
        )
    return provisioner_unverified(site)


def provisioner_unverified(site: Site) -> Provisioner:
    """The provisioner even while the site is changed: only to find out which Kubernetes it leads to.

    Raises SiteUnknown SITE_SETTINGS.
    """
    ours = {"installation": installation_id(), "identity": site.identity}
    document = json.dumps({**site.settings, **ours}, sort_keys=True)
    try:
        return registry.provisioner(site.kind, site.name, settings.DATA_DIR / "sites", document)
    except SettingsInvalid as error:
        raise SiteUnknown("SITE_SETTINGS", str(error), delay=5.0) from error


def installation_id() -> str:
    """16 hexadecimal digits that tell this installation from every other one that shares a site with it."""
    return hmac.new(settings.INSTALLATION_KEY.encode(), b"installation", "sha256").hexdigest()[:16]
