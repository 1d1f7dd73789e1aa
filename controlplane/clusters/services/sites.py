"""Sites come and go by the hand of a site admin; what is known of them is written by workers and proofs."""

from collections.abc import Collection, Mapping
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from controlplane.clusters.models import Cluster, Site
from controlplane.clusters.phases import Phase
from controlplane.work.models import Kind
from controlplane.work.wake import forget, wake
from tenants import audit
from tenants.actors import Actor, system_actor
from tenants.errors import Conflict, Invalid, NotFound
from tenants.models import Tenant, TenantState
from tenants.names import validate_name

Settings = Mapping[str, Any]


@transaction.atomic
def site_put(
    *,
    name: str,
    kind: str,
    settings: Settings | None = None,
    identity: str = "",
    replace: bool = False,
    actor: Actor | None = None,
) -> Site:
    """Make sure of a site; a worker checks it next. Idempotent. settings None: as they are.

    identity: of the Kubernetes that these settings lead to, "" where nobody asked; see `site_moves`. replace: it
    may be another one than before; what runs there is given up with it.
    Raises Invalid (name), Conflict NAME_TAKEN by a site of another kind, Conflict IN_USE when clusters would be lost.
    """
    validate_name(name)
    site, new = Site.objects.select_for_update().get_or_create(
        name=name, defaults={"kind": kind, "settings": dict(settings or {})}
    )
    if site.kind != kind:
        raise Conflict("NAME_TAKEN", f"{name} is a site of kind {site.kind}. Choose another name.")
    changed = not new and settings is not None and (replace or site.settings != settings)
    if changed:
        if replace or not _is_the_same(site, settings or {}, identity):
            _move(site, replace=replace)
        _change(site, dict(settings or {}))
    if new or changed:
        verb = "site.add" if new else "site.change"
        detail = {"kind": kind} | ({"replaced": True} if changed and replace else {})
        audit.record(actor=actor or system_actor(), verb=verb, target=f"site/{name}", detail=detail)
    wake(Kind.SITE, site.id)
    return site


def site_moves(*, name: str, settings: Settings) -> bool:
    """Whether clusters are there and these settings lead there in another way: then `site_put` wants the identity."""
    site = Site.objects.filter(name=name).first()
    return site is not None and not _is_the_same(site, settings) and _clusters_on(site) > 0


def _is_the_same(site: Site, settings: Settings, identity: str = "") -> bool:
    """Reached as before, or found to be the Kubernetes that it was."""
    reached_alike = site.settings.get("accounts") == settings.get("accounts")
    return reached_alike or (bool(site.identity) and identity == site.identity)


def _move(site: Site, *, replace: bool) -> None:
    """Nothing is known of where it leads now. A site that was never found may be corrected at any time."""
    there = _clusters_on(site)
    if there and not replace and (site.identity or site.ready_at):
        known = f" ({site.identity})" if site.identity else ""
        raise Conflict(
            "IN_USE",
            f"{site.name} has {there} clusters, and this does not lead to the Kubernetes{known} that they are on. "
            "Delete them first.",
        )
    site.identity, site.changed, site.ready, site.ready_at = "", False, False, None
    site.save(update_fields=["identity", "changed", "ready", "ready_at"])


def _change(site: Site, settings: dict[str, Any]) -> None:
    """What was proved was proved of the site as it was."""
    site.settings = settings
    site.isolation, site.proof, site.proved_at = "unknown", "", None
    site.save(update_fields=["settings", "isolation", "proof", "proved_at"])


def _clusters_on(site: Site) -> int:
    return Cluster.objects.filter(site=site).exclude(phase=Phase.DELETED).count()


@transaction.atomic
def site_found(*, site: Site, identity: str) -> Site | None:
    """Take in which Kubernetes a worker found by the site as it read it; the site as it is then.

    Another one than before is believed where no clusters are, and else marks the site as `changed`. None: the site
    was changed by somebody meanwhile, and this says nothing about it.
    """
    # Locked against launches: a cluster that comes meanwhile would be on the one before.
    as_read = Site.objects.select_for_update().filter(
        id=site.id, settings=site.settings, identity=site.identity
    )
    found = as_read.first()
    if found is None:
        return None
    before = (found.identity, found.changed)
    found.changed = identity != found.identity and found.identity != "" and _clusters_on(found) > 0
    if not found.changed:
        found.identity = identity
    if (found.identity, found.changed) != before:
        found.save(update_fields=["identity", "changed"])
    return found


@transaction.atomic
def site_allow(*, name: str, tenants: Collection[str] | None, actor: Actor | None = None) -> Site:
    """Let these tenants launch there and no others; None: everyone. What runs there already goes on.

    Raises NotFound, Invalid for a tenant that is not there.
    """
    site = Site.objects.select_for_update().filter(name=name).first()
    if site is None:
        raise NotFound
    named = set(tenants or ())
    found = list(Tenant.objects.filter(name__in=named).exclude(state=TenantState.DELETED))
    if missing := sorted(named - {tenant.name for tenant in found}):
        raise Invalid.at("/tenants", f"There is no tenant {', '.join(missing)}.")
    if tenants is not None and not found:
        raise Invalid.at("/tenants", "Name at least one tenant.")
    site.everyone = tenants is None
    site.save(update_fields=["everyone"])
    site.tenants.set(found)
    detail = {"everyone": True} if tenants is None else {"tenants": sorted(named)}
    audit.record(actor=actor or system_actor(), verb="site.allow", target=f"site/{name}", detail=detail)
    return site


@transaction.atomic
def site_remove(*, name: str, actor: Actor | None = None) -> None:
    """Forget a site. What is left of tenants there stays as it is: nothing is asked of the site itself.

    Raises NotFound, Conflict IN_USE while clusters are there.
    """
    # A launch that has chosen it holds its row until the cluster is there to be counted.
    site = Site.objects.select_for_update().filter(name=name).first()
    if site is None:
        raise NotFound
    if there := _clusters_on(site):
        raise Conflict("IN_USE", f"{name} has {there} clusters. Delete them first.")
    Site.objects.filter(id=site.id).update(removed_at=timezone.now(), ready=False)
    forget(Kind.SITE, site.id)
    # Tombstones that wait for its next listing: nothing is asked of it any more.
    Cluster.objects.filter(site=site).update(last_write_at=None, revision=F("revision") + 1)
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
