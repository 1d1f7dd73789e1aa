"""One reconcile pass over one site: its verdict, its capacity, and the inventory of its clusters."""

import time
from dataclasses import asdict
from typing import Any

from django.utils import timezone

from controlplane.clusters.models import Site
from controlplane.clusters.services.sites import site_found
from controlplane.provisioners.base import Permanent, SiteVerdict, Temporary
from controlplane.reconciler.site.inventory import compare
from controlplane.reconciler.site.provisioning import provisioner_of, provisioner_unverified
from controlplane.reconciler.timing import LIST_SECONDS
from controlplane.work.claim import Claimed, prolong

# The lease is prolonged by this, so that no second listing begins beside a slow one.
LISTING_SECONDS = 300.0
UNREADY_SECONDS = 10.0
PROBLEM_SECONDS = 30.0
# The check of a pass is quick and does not try the isolation: what was proved before stands.
UNKNOWN = "unknown"


def reconcile_site(claimed: Claimed) -> float | None:
    """Check and list one site. Returns the seconds until the next pass, counted from the beginning of this one."""
    began = time.monotonic()
    prolong(claimed, LISTING_SECONDS)
    read = Site.objects.filter(id=claimed.key).first()
    if read is None:
        return None
    verdict = _check(read)
    site = site_found(site=read, identity=verdict.identity) if verdict.identity else read
    if site is None or (read.identity and site.identity != read.identity):
        # The site was changed during the check, or leads elsewhere now, so the verdict is of the site before.
        return 0
    problem, capacity = "", None
    if verdict.ready:
        try:
            compare(site, provisioner_of(site))
        except (Temporary, Permanent) as error:
            # A part of the site was not listed. Launches there go on.
            problem = f"{error.reason}: {error.message}"
        capacity = _capacity(site)
    now = timezone.now()
    columns: dict[str, Any] = {} if verdict.isolation == UNKNOWN else {"isolation": verdict.isolation}
    columns |= {"ready_at": now} if verdict.ready else {}
    columns |= {} if capacity is None else {"capacity": capacity or None}
    message = (problem or verdict.message)[:1000]
    as_checked = Site.objects.filter(id=site.id, settings=site.settings, identity=site.identity)
    as_checked.update(ready=verdict.ready, message=message, checked_at=now, **columns)
    if not verdict.ready:
        return UNREADY_SECONDS
    every = PROBLEM_SECONDS if problem else LIST_SECONDS
    return max(UNREADY_SECONDS, every - (time.monotonic() - began))


def _check(site: Site) -> SiteVerdict:
    try:
        return provisioner_unverified(site).check()
    except (Temporary, Permanent) as error:
        return SiteVerdict(ready=False, isolation=UNKNOWN, message=f"{error.reason}: {error.message}")


def _capacity(site: Site) -> dict[str, Any] | None:
    """As the row holds it. {}: the site cannot tell it. None: the site did not answer now."""
    try:
        found = provisioner_of(site).capacity()
    except (Temporary, Permanent):
        return None
    return {app: asdict(capacity) for app, capacity in found.items()}
