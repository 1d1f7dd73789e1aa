"""Looking after sites: the last verdict, and the listing that makes up for lost news."""

from django.utils import timezone

from controlplane.clusters.models import Site
from controlplane.provisioners.base import Permanent, SiteVerdict, Temporary
from controlplane.provisioners.kubernetes.settings import SettingsInvalid
from controlplane.reconciler.observe import compare
from controlplane.reconciler.provisioning import provisioner_of
from controlplane.work.claim import Claimed

LIST_SECONDS = 180.0
UNREADY_SECONDS = 10.0
# A check that is quick enough for every pass tries no isolation: what was proved before stands.
UNKNOWN = "unknown"


def reconcile_site(claimed: Claimed) -> float | None:
    """Check and list one site; seconds until the next time."""
    site = Site.objects.filter(id=claimed.key).first()
    if site is None:
        return None
    verdict = _verdict(site)
    known = {} if verdict.isolation == UNKNOWN else {"isolation": verdict.isolation}
    Site.objects.filter(id=site.id).update(
        ready=verdict.ready, message=verdict.message[:1000], checked_at=timezone.now(), **known
    )
    return LIST_SECONDS if verdict.ready else UNREADY_SECONDS


def _verdict(site: Site) -> SiteVerdict:
    try:
        verdict = provisioner_of(site).check()
        if verdict.ready:
            compare(site, provisioner_of(site))
    except (Temporary, Permanent) as error:
        return SiteVerdict(ready=False, isolation=UNKNOWN, message=f"{error.reason}: {error.message}")
    except SettingsInvalid as error:
        return SiteVerdict(ready=False, isolation=UNKNOWN, message=f"SITE_SETTINGS: {error}")
    return verdict
