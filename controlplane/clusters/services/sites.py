"""Sites come and go by the hand of a site admin; what is known of them is written by workers and proofs."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from controlplane.clusters.models import Cluster, Site
from controlplane.clusters.phases import Phase
from controlplane.work.models import Kind
from controlplane.work.wake import forget, wake
from tenants import audit
from tenants.actors import Actor, system_actor
from tenants.errors import Conflict, NotFound
from tenants.names import validate_name


@transaction.atomic
def site_put(
    *, name: str, kind: str, settings: Mapping[str, Any] | None = None, actor: Actor | None = None
) -> Site:
    """Make sure of a site; a worker checks it next. Idempotent. settings None: as they are.

    Raises Invalid (name), Conflict NAME_TAKEN by a site of another kind.
    """
    validate_name(name)
    site, new = Site.objects.select_for_update().get_or_create(
        name=name, defaults={"kind": kind, "settings": dict(settings or {})}
    )
    if site.kind != kind:
        raise Conflict("NAME_TAKEN", f"{name} is a site of kind {site.kind}. Choose another name.")
    changed = not new and settings is not None and site.settings != settings
    if changed:
        _change(site, dict(settings or {}))
    if new or changed:
        verb = "site.add" if new else "site.change"
        audit.record(actor=actor or system_actor(), verb=verb, target=f"site/{name}", detail={"kind": kind})
    wake(Kind.SITE, site.id)
    return site


def _change(site: Site, settings: dict[str, Any]) -> None:
    """What was proved was proved of the site as it was."""
    site.settings = settings
    site.isolation, site.proof, site.proved_at = "unknown", "", None
    site.save(update_fields=["settings", "isolation", "proof", "proved_at"])


@transaction.atomic
def site_remove(*, name: str, actor: Actor | None = None) -> None:
    """Forget a site. What is left of tenants there stays as it is: nothing is asked of the site itself.

    Raises NotFound, Conflict IN_USE while clusters are there.
    """
    site = Site.objects.select_for_update().filter(name=name).first()
    if site is None:
        raise NotFound
    there = Cluster.objects.filter(site=site).exclude(phase=Phase.DELETED).count()
    if there:
        raise Conflict("IN_USE", f"{name} has {there} clusters. Delete them first.")
    Site.objects.filter(id=site.id).update(removed_at=timezone.now(), ready=False)
    forget(Kind.SITE, site.id)
    audit.record(actor=actor or system_actor(), verb="site.remove", target=f"site/{name}")


@transaction.atomic
def site_proved(*, site: Site, isolation: str, proof: str) -> None:
    """Write down what a proof of the site as it was read found; it stays until the next one.

    Raises Conflict CHANGED_MEANWHILE: then it was the proof of something else.
    """
    proved = Site.objects.filter(id=site.id, settings=site.settings).update(
        isolation=isolation, proof=proof[:1000], proved_at=timezone.now()
    )
    if not proved:
        raise Conflict("CHANGED_MEANWHILE", f"{site.name} was changed or removed meanwhile. Prove it again.")
    wake(Kind.SITE, site.id)
