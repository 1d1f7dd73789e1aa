"""Which Kubernetes an API server is of and whose, and clients that speak to no other one.

How a site is reached may come to mean another Kubernetes: a context is pointed elsewhere, a name in the DNS moves.
What is not there is then not gone, and what would be made there is made twice.
"""

from dataclasses import dataclass

from controlplane.provisioners.base import CHANGED_DELAY, SITE_CHANGED, SiteUnknown, WrongSite
from controlplane.provisioners.kubernetes.client.accounts import Clients
from controlplane.provisioners.kubernetes.client.client import IDENTITY, Ask, Client
from controlplane.provisioners.kubernetes.client.errors import cut
from controlplane.provisioners.kubernetes.objects import names, paths
from controlplane.provisioners.kubernetes.objects.body import Body
from controlplane.provisioners.kubernetes.settings import Reach, SiteSettings

# It cannot be deleted, so this is one Kubernetes for as long as its state is.
OLDEST_NAMESPACE = "kube-system"
# Stands for our claim on the whole site.
CLAIM = f"{names.PREFIX}site"
# The accounts whose answers say that something is gone, and those that make things. Others work on what these made,
# and the processes that hold them may hold no other. What `observe` lists comes after answers of both, and lets
# clusters rest, but ends nothing without a look by one of these.
VERIFIED = ("provision", "namespaces")


def identity_of(settings: SiteSettings) -> str:
    """Of the Kubernetes that the files of the account `namespaces` lead to now. Raises Temporary, Permanent."""
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
        f"this is another Kubernetes ({found}) than the one that the site's clusters are on ({was}); nothing is asked "
        "of it. Point the site at that one again, or, where it is gone for good with all that ran there, take this "
        "one in its place by `site add` with --replace.",
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
    """Vouches for connections to the Kubernetes that is expected, as far as it is known, and that is not another's."""

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
    """Raises as ExpectedSite does."""
    expected = ExpectedSite(settings)
    expected(Client(expected.reach, purpose=IDENTITY).get)


def verified_clients(settings: SiteSettings) -> Clients:
    """Accounts that speak to the expected Kubernetes or to none."""
    return Clients(settings, dict.fromkeys(VERIFIED, ExpectedSite(settings)))
