"""From the row of a site to the provisioner that works there."""

import hmac
import json

from django.conf import settings

from controlplane.clusters.models import Site
from controlplane.provisioners import registry
from controlplane.provisioners.base import Provisioner


def provisioner_of(site: Site) -> Provisioner:
    return registry.provisioner(site.kind, site.name, settings.DATA_DIR / "sites", _settings(site))


def installation_id() -> str:
    """16 hexadecimal digits that tell this installation from every other one that shares a site with it."""
    return hmac.new(settings.INSTALLATION_KEY.encode(), b"installation", "sha256").hexdigest()[:16]


def _settings(site: Site) -> str:
    return json.dumps({**site.settings, "installation": installation_id()}, sort_keys=True)
