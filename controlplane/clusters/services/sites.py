from django.db import transaction

from controlplane.clusters.models import Site
from controlplane.work.models import Kind
from controlplane.work.wake import wake


@transaction.atomic
def site_put(*, name: str, kind: str) -> Site:
    """Make sure of a site; a worker checks it next. Idempotent."""
    site, _ = Site.objects.get_or_create(name=name, defaults={"kind": kind})
    wake(Kind.SITE, site.id)
    return site
