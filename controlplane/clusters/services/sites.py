"""Site admins add, change and remove sites. Workers and proofs write what they found of them."""

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
    """Register a site or change its settings; a worker checks it next. Idempotent. settings: None leaves them.

    identity: of the Kubernetes that these settings lead to, "" if unknown; see `site_moves`. replace: the settings may
    lead to another Kubernetes, and Slipway forgets the clusters on the one before.
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
    """Whether the site has clusters and these settings reach it in another way; then `site_put` needs the identity."""
    site = Site.objects.filter(name=name).first()
    return site is not None and not _is_the_same(site, settings) and _clusters_on(site) > 0


def _is_the_same(site: Site, settings: Settings, identity: str = "") -> bool:
    """Whether the settings reach the site as before, or lead to the same Kubernetes."""
    reached_alike = site.settings.get("accounts") == settings.get("accounts")
    return reached_alike or (bool(site.identity) and identity == site.identity)


def _move(site: Site, *, replace: bool) -> None:
    """Forget the identity of the site. Raises Conflict IN_USE for one that was found before and has clusters."""
    count = _clusters_on(site)
    if count and not replace and (site.identity or site.ready_at):
        known = f" ({site.identity})" if site.identity else ""
        raise Conflict(
            "IN_USE",
            f"{site.name} has {count} clusters, and this does not lead to the Kubernetes{known} that they are on. "
            "Delete them first.",
        )
    site.identity, site.changed, site.ready, site.ready_at = "", False, False, None
    site.save(update_fields=["identity", "changed", "ready", "ready_at"])


def _change(site: Site, settings: dict[str, Any]) -> None:
    """Write the settings. A proof of the site with the former settings does not count any more."""
    site.settings = settings
    site.isolation, site.proof, site.proved_at = "unknown", "", None
    site.save(update_fields=["settings", "isolation", "proof", "proved_at"])


def _clusters_on(site: Site) -> int:
    return Cluster.objects.filter(site=site).exclude(phase=Phase.DELETED).count()


@transaction.atomic
def site_found(*, site: Site, identity: str) -> Site | None:
    """Record which Kubernetes a worker found with the settings of `site`. Returns the site as it is then.

    Another identity than before is taken over where no clusters are; else it marks the site as `changed`. Returns None
    if the settings were changed meanwhile: then the identity says nothing about the site.
    """
    # The lock makes launches wait: a cluster that is inserted meanwhile would be on the Kubernetes before.
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
    """Let only these tenants launch at the site; None is everyone. Clusters that run there go on.

    Raises NotFound, and Invalid for a tenant that does not exist.
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
    """Remove a site from Slipway. Objects of tenants at the site stay as they are.

    Raises NotFound, Conflict IN_USE while clusters are there.
    """
    # A launch at the site locks its row until the cluster is inserted, and so is counted.
    site = Site.objects.select_for_update().filter(name=name).first()
    if site is None:
        raise NotFound
    if count := _clusters_on(site):
        raise Conflict("IN_USE", f"{name} has {count} clusters. Delete them first.")
    Site.objects.filter(id=site.id).update(removed_at=timezone.now(), ready=False)
    forget(Kind.SITE, site.id)
    # Deleted clusters that wait for the next listing of the site: there will be none.
    Cluster.objects.filter(site=site).update(last_write_at=None, revision=F("revision") + 1)
    audit.record(actor=actor or system_actor(), verb="site.remove", target=f"site/{name}")


@transaction.atomic
def site_proved(*, site: Site, isolation: str, proof: str) -> None:
    """Record the result of a proof of the site with the settings of `site`, until the next proof.

    Raises Conflict CHANGED_MEANWHILE if the settings were changed since.
    """
    proved = Site.objects.filter(id=site.id, settings=site.settings).update(
        isolation=isolation, proof=proof[:1000], proved_at=timezone.now()
    )
    if not proved:
        raise Conflict("CHANGED_MEANWHILE", f"{site.name} was changed or removed meanwhile. Prove it again.")
    wake(Kind.SITE, site.id)
