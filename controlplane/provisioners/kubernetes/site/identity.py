"""Identifies the Kubernetes of a site and its owner, and gives clients that refuse to talk to another one.

The settings of a site may come to lead to another Kubernetes: a context or a DNS name is changed. Objects that are
missing there are not gone, and Slipway would create them twice.
"""

from dataclasses import dataclass

from controlplane.provisioners.base import CHANGED_DELAY, SITE_CHANGED, SiteUnknown, WrongSite
from controlplane.provisioners.kubernetes.client.accounts import Clients
from controlplane.provisioners.kubernetes.client.client import IDENTITY, Ask, Client
from controlplane.provisioners.kubernetes.client.errors import cut
from controlplane.provisioners.kubernetes.objects import names, paths
from controlplane.provisioners.kubernetes.objects.body import Body
from controlplane.provisioners.kubernetes.settings import Reach, SiteSettings

# This namespace cannot be deleted, so its uid identifies the state of one Kubernetes.
OLDEST_NAMESPACE = "kube-system"
# The namespace whose label says which installation uses the site.
CLAIM = f"{names.PREFIX}site"
# The accounts that create objects, and whose answers prove that objects are gone. The other accounts work on objects
# that these created, and a process may hold only one of them. `observe` lists after both were verified, and nothing is
# ended because of a listing without a look by one of these accounts.
VERIFIED = ("provision", "namespaces")


def identity_of(settings: SiteSettings) -> str:
    """The identity of the Kubernetes to which the account `namespaces` leads now. Raises Temporary, Permanent."""
    return identity_from(Client(settings.reach("namespaces"), purpose=IDENTITY))


def identity_from(account: Client) -> str:
    return _identity(account.get)


def _identity(ask: Ask) -> str:
    found = ask(paths.namespaces(OLDEST_NAMESPACE)) or {}
    uid = str(found.get("metadata", {}).get("uid") or "")
    if not uid:
        raise SiteUnknown("SITE_UNREACHABLE", f"what answers has no namespace {OLDEST_NAMESPACE}")
    return cut(uid, 64)


def site_changed(was: str, found: str) -> WrongSite:
    return WrongSite(
        SITE_CHANGED,
        f"this is another Kubernetes ({found}) than the one on which the site's clusters are ({was}), so it is not "
        "used. Let the site lead to the former one again; or, if that one is gone for good with all its clusters, "
        "replace it by this one with `site add --replace`.",
        delay=CHANGED_DELAY,
    )


def owner_of(claim: Body) -> str:
    return cut(str((claim["metadata"].get("labels") or {}).get(names.INSTALLATION)), 40)


def belongs_to(other: str, settings: SiteSettings) -> str:
    return (
        f"Another installation of Slipway ({other}) works on this Kubernetes; this one is "
        f"{settings.installation}. If that one is gone for good, delete the namespace {CLAIM}; a devkube forgets "
        "all of it by `devkube down --wipe`."
    )


@dataclass(frozen=True, slots=True)
class ExpectedSite:
    """Verifies that a connection leads to the expected Kubernetes and that no other installation uses it."""

    settings: SiteSettings

    @property
    def reach(self) -> Reach:
        return self.settings.reach("namespaces")

    def __call__(self, ask: Ask) -> None:
        """Raises WrongSite: SITE_CHANGED, SITE_BELONGS_TO_ANOTHER."""
        known, ours = self.settings.identity, self.settings.installation
        found = _identity(ask) if known else ""
        if found != known:
            raise site_changed(known, found)
        claim = ask(paths.namespaces(CLAIM))
        if claim and (other := owner_of(claim)) != ours:
            raise WrongSite("SITE_BELONGS_TO_ANOTHER", belongs_to(other, self.settings), delay=CHANGED_DELAY)


def require_expected(settings: SiteSettings) -> None:
    """Raises WrongSite when the site is not the expected one."""
    expected = ExpectedSite(settings)
    expected(Client(expected.reach, purpose=IDENTITY).get)


def verified_clients(settings: SiteSettings) -> Clients:
    """Accounts whose connections are verified."""
    return Clients(settings, dict.fromkeys(VERIFIED, ExpectedSite(settings)))
