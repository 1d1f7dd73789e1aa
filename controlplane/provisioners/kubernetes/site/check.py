"""Checks a site in a few calls: whether it answers, whether it is ours, whether our accounts have their permissions.

An empty namespace records which installation uses the site. Permissions of bound accounts are checked in it.
"""

import time
from collections.abc import Iterable
from functools import lru_cache, partial

from controlplane.provisioners.base import CALL_SECONDS, NotOurs, NotYet, Permanent, SiteVerdict
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.ensure import create_missing
from controlplane.provisioners.kubernetes.client.errors import cut
from controlplane.provisioners.kubernetes.client.parallel import in_parallel, time_budget
from controlplane.provisioners.kubernetes.objects import bindings, names, paths
from controlplane.provisioners.kubernetes.objects.body import Body
from controlplane.provisioners.kubernetes.objects.manifests import RESTRICTED, ours
from controlplane.provisioners.kubernetes.settings import Reach, SiteSettings
from controlplane.provisioners.kubernetes.site import permissions
from controlplane.provisioners.kubernetes.site.identity import (
    CLAIM,
    belongs_to,
    identity_from,
    owner_of,
    site_changed,
)
from controlplane.provisioners.kubernetes.site.permissions import PERMISSIONS, Right

# ValidatingAdmissionPolicy is stable since then.
OLDEST = (1, 30)
REVIEWS = "/apis/authorization.k8s.io/v1"
# How long an API server may take to apply a new binding.
BINDING_SECONDS = 2.0
GOING_SECONDS = 10.0
MOST_LISTED = 6
# The namespace of others in which excess permissions would be most dangerous.
FOREIGN = "kube-system"
SHARED = "One account does all of Slipway's work here; deploy/kubernetes has one for each kind of work."
MOST_CLIENTS = 64


def check(settings: SiteSettings) -> SiteVerdict:
    """ready: all checks passed. isolation: "unknown", as only `prove` tests it. Raises Temporary, Permanent."""
    with time_budget(CALL_SECONDS - 0.3):
        return _check(settings)


def _check(settings: SiteSettings) -> SiteVerdict:
    version, found = version_of(settings), _identity(settings)
    if settings.identity not in {"", found}:
        other = site_changed(settings.identity, found)
        return SiteVerdict(False, "unknown", f"{other.reason}: {other.message}", found)
    claimed = claim(settings)
    lacking = missing(settings, CLAIM)
    until = time.monotonic() + BINDING_SECONDS
    while lacking and claimed and time.monotonic() < until:
        time.sleep(0.1)
        lacking = missing(settings, CLAIM)
    if lacking:
        # The bindings may have been deleted.
        make(settings, bindings.role_bindings(CLAIM, settings))
        return SiteVerdict(False, "unknown", lacking_message(lacking), found)
    shared = f" {SHARED}" if settings.shares_accounts else ""
    return SiteVerdict(True, "unknown", f"Kubernetes {version}.{shared}", found)


def _identity(settings: SiteSettings) -> str:
    """The identity of the Kubernetes to which the settings lead now, over a new connection."""
    account = client(settings.reach("namespaces"))
    account.reconnect()
    return identity_from(account)


def version_of(settings: SiteSettings) -> str:
    """Raises Permanent SITE_TOO_OLD."""
    found = client(settings.reach("provision")).get("/version") or {}
    version = str(found.get("gitVersion") or "?")
    numbers = [str(found.get(part) or "").rstrip("+") for part in ("major", "minor")]
    if all(number.isdigit() for number in numbers) and tuple(map(int, numbers)) < OLDEST:
        least = ".".join(map(str, OLDEST))
        raise Permanent(
            "SITE_TOO_OLD", f"This is Kubernetes {cut(version, 40)}; {least} is the oldest that will do."
        )
    return cut(version, 40)


def claim(settings: SiteSettings) -> bool:
    """Record that this installation uses the site. Returns whether that was new. Raises NotOurs."""
    account = client(settings.reach("namespaces"))
    found = account.get(paths.namespaces(CLAIM))
    new = found is None
    if found is None:
        make(settings, [namespace(CLAIM, settings)])
        found = account.get(paths.namespaces(CLAIM)) or {}
        make(settings, bindings.role_bindings(CLAIM, settings))
    about = found.get("metadata", {})
    if "deletionTimestamp" in about:
        raise NotYet("NAMESPACE_GOING", f"{CLAIM} is being deleted; the site can be claimed when it is gone")
    if (owner := owner_of(found)) != settings.installation:
        raise NotOurs(belongs_to(owner, settings))
    return new


def release(settings: SiteSettings) -> None:
    """Delete the record, so that another installation may use the site. Does nothing when the site is not ours.

    Waits GOING_SECONDS at most until the record is gone.
    """
    account = client(settings.reach("namespaces"))
    found = account.get(paths.namespaces(CLAIM))
    about = found["metadata"] if found else {}
    if (about.get("labels") or {}).get(names.INSTALLATION) == settings.installation:
        account.delete(paths.namespaces(CLAIM), uid=about["uid"])
        until = time.monotonic() + GOING_SECONDS
        while account.get(paths.namespaces(CLAIM)) and time.monotonic() < until:
            time.sleep(0.2)


def namespace(name: str, settings: SiteSettings) -> Body:
    """A namespace of this installation that belongs to no tenant."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": ours(settings) | RESTRICTED},
    }


def make(settings: SiteSettings, bodies: Iterable[Body]) -> None:
    """Create namespaces and bindings that do not exist."""
    account = client(settings.reach("namespaces"))
    for body in bodies:
        home = body["metadata"].get("namespace", "")
        path = paths.role_bindings(home) if home else paths.namespaces()
        create_missing(account, path, body)


def missing(settings: SiteSettings, namespace: str) -> dict[str, list[Right]]:
    """Account -> the rights that it lacks in this namespace. Accounts that lack nothing are left out."""
    lacking = in_parallel([partial(_missing, settings, account, namespace) for account in PERMISSIONS])
    return {account: rights for account, rights in zip(PERMISSIONS, lacking, strict=True) if rights}


def _missing(settings: SiteSettings, account: str, namespace: str) -> list[Right]:
    rules = rules_of(settings.reach(account), namespace)
    needed = permissions.rights(account, spare=False)
    lacking = [right for right in needed if not permissions.is_granted(right, rules)]
    # Some authorizers cannot list their rules, but every one can decide about a single right.
    return [right for right in lacking if not _may(settings.reach(account), namespace, right)]


def excess(settings: SiteSettings, namespace: str) -> dict[str, list[Right]]:
    """Account -> the rights that it has beyond its work, in one of our namespaces or in one that is not ours."""
    tried = ((namespace, True), (FOREIGN, False))
    beyond = {
        account: {
            right
            for where, ours in tried
            for right in _excess(settings.reach(account), account, where, ours=ours)
        }
        for account in PERMISSIONS
    }
    return {account: sorted(rights) for account, rights in beyond.items() if rights}


def _excess(reach: Reach, account: str, namespace: str, *, ours: bool) -> set[Right]:
    bound = account in bindings.BOUND
    fitting = set() if bound and not ours else set(permissions.rights(account))
    return permissions.granted(rules_of(reach, namespace)) - fitting - permissions.OF_EVERYBODY


def excess_message(excess: dict[str, list[Right]]) -> str:
    return "; ".join(f"{account} may also {listed(rights)}" for account, rights in excess.items())


def rules_of(reach: Reach, namespace: str) -> list[Body]:
    spec = {"namespace": namespace}
    status = _review(reach, "SelfSubjectRulesReview", spec).get("status") or {}
    return list(status.get("resourceRules") or ())


def _may(reach: Reach, namespace: str, right: Right) -> bool:
    resource, _, subresource = right.resource.partition("/")
    attributes = {
        "namespace": namespace,
        "group": right.group,
        "resource": resource,
        "subresource": subresource,
        "verb": right.verb,
        "name": right.name,
    }
    review = _review(reach, "SelfSubjectAccessReview", {"resourceAttributes": attributes})
    return bool((review.get("status") or {}).get("allowed"))


def _review(reach: Reach, kind: str, spec: Body) -> Body:
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
    return client(reach).create(f"{REVIEWS}/{kind.lower()}s", body)


def lacking_message(lacking: dict[str, list[Right]]) -> str:
    accounts = (f"{account} may not {listed(rights)}" for account, rights in lacking.items())
    return f"Accounts lack permissions: {'; '.join(accounts)}. deploy/kubernetes grants them."


def listed(rights: Iterable[Right]) -> str:
    """The first rights in words, and how many more there are."""
    words = [str(right) for right in sorted(rights)]
    more = f" and {len(words) - MOST_LISTED} more" if len(words) > MOST_LISTED else ""
    return ", ".join(words[:MOST_LISTED]) + more


@lru_cache(MOST_CLIENTS)
def client(reach: Reach) -> Client:
    return Client(reach, purpose="check")
