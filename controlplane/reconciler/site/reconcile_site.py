"""Looking after sites: the last verdict, and the listing that makes up for lost news and lets clusters rest."""

import time
from dataclasses import asdict
from typing import Any

from django.utils import timezone

from controlplane.clusters.models import Site
from controlplane.clusters.services.sites import site_found
from controlplane.provisioners.base import Permanent, SiteVerdict, Temporary
from controlplane.provisioners.kubernetes.settings import SettingsInvalid
from controlplane.reconciler.cluster.plan import LIST_SECONDS
from controlplane.reconciler.site.inventory import compare
from controlplane.reconciler.site.provisioning import provisioner_of, provisioner_whatever
from controlplane.work.claim import Claimed, prolong

# A listing takes as long as the site's API server likes; no second one is begun beside it.
LISTING_SECONDS = 300.0
UNREADY_SECONDS = 10.0
TROUBLED_SECONDS = 30.0
# A check that is quick enough for every pass tries no isolation: what was proved before stands.
UNKNOWN = "unknown"


def reconcile_site(claimed: Claimed) -> float | None:
    """Check and list one site; seconds until the next time, from when this one began."""
    began = time.monotonic()
    prolong(claimed, LISTING_SECONDS)
    read = Site.objects.filter(id=claimed.key).first()
    if read is None:
        return None
    verdict = _verdict(read)
    site = site_found(site=read, identity=verdict.identity) if verdict.identity else read
    if site is None or (read.identity and site.identity != read.identity):
        # Somebody changed it meanwhile, or it leads elsewhere now and nobody minds: this verdict is of the one before.
        return 0
    troubled = _listing_trouble(site) if verdict.ready else ""
    capacity = _capacity(site) if verdict.ready else None
    now = timezone.now()
    known: dict[str, Any] = {} if verdict.isolation == UNKNOWN else {"isolation": verdict.isolation}
    known |= {"ready_at": now} if verdict.ready else {}
    known |= {} if capacity is None else {"capacity": capacity or None}
    message = (troubled or verdict.message)[:1000]
    as_checked = Site.objects.filter(id=site.id, settings=site.settings, identity=site.identity)
    as_checked.update(ready=verdict.ready, message=message, checked_at=now, **known)
    if not verdict.ready:
        return UNREADY_SECONDS
    every = TROUBLED_SECONDS if troubled else LIST_SECONDS
    return max(UNREADY_SECONDS, every - (time.monotonic() - began))


def _listing_trouble(site: Site) -> str:
    """What kept a part of the site from being listed; all else was. It is no reason to launch nothing there."""
    try:
        compare(site, provisioner_of(site))
    except (Temporary, Permanent) as error:
        return f"{error.reason}: {error.message}"
    return ""


def _capacity(site: Site) -> dict[str, Any] | None:
    """As the row holds it; {} when it cannot be known, None when it could not be asked for now."""
    try:
        found = provisioner_of(site).capacity()
    except (Temporary, Permanent):
        return None
    return {app: asdict(capacity) for app, capacity in found.items()}


def _verdict(site: Site) -> SiteVerdict:
    try:
        return provisioner_whatever(site).check()
    except (Temporary, Permanent) as error:
        return SiteVerdict(ready=False, isolation=UNKNOWN, message=f"{error.reason}: {error.message}")
    except SettingsInvalid as error:
        return SiteVerdict(ready=False, isolation=UNKNOWN, message=f"SITE_SETTINGS: {error}")
