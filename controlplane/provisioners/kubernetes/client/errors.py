"""Translates refusals of an API server into errors: whether and when to try again, with a message for users."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from controlplane.provisioners.base import (
    InProgress,
    NotYet,
    Permanent,
    SiteUnknown,
    Temporary,
    TenantMissing,
)
from controlplane.provisioners.kubernetes.objects.body import Body

MOST_WORDS = 500
SOONEST_SECONDS, LATEST_SECONDS = 0.5, 60.0
SLOW_DELAY = 5.0
FORBIDDEN_DELAY = 30.0
# A person has to repair files or accounts, so there is no need to try every two seconds.
SETTINGS_DELAY = 30.0
CREDENTIALS_DELAY = 10.0
ANONYMOUS = "system:anonymous"

# How an API server names an admission webhook, whatever the status of its answer.
_DENIED = re.compile(r'admission webhook "([^"]+)" denied the request')
_FAILED = re.compile(r'failed calling webhook "([^"]+)"')

_QUOTA_WORDS = ("exceeded quota", "failed quota", "status unknown for quota")


class AlreadyExists(NotYet):
    """An object of this name exists: made by an earlier try, or about to be deleted."""

    def __init__(self, message: str) -> None:
        super().__init__("ALREADY_EXISTS", message)


class Expired(SiteUnknown):
    """The API server no longer knows the resource version from which a list or a watch should continue."""

    def __init__(self, message: str) -> None:
        super().__init__("VERSION_EXPIRED", message, delay=SOONEST_SECONDS)


def cut(text: str, most: int = MOST_WORDS) -> str:
    """A text from outside, cut to at most `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def unreachable(why: BaseException | str) -> SiteUnknown:
    said = str(why) if isinstance(why, str) else f"{type(why).__name__}: {why}"
    return SiteUnknown("SITE_UNREACHABLE", cut(said))


def unusable(why: BaseException | str) -> SiteUnknown:
    """The settings of the site cannot be used now. Its admin may repair the files at any time."""
    said = str(why) if isinstance(why, str) else f"{type(why).__name__}: {why}"
    return SiteUnknown("SITE_SETTINGS", cut(said), delay=SETTINGS_DELAY)


def no_credentials(why: str, *, delay: float = CREDENTIALS_DELAY) -> SiteUnknown:
    return SiteUnknown("SITE_CREDENTIALS", cut(why), delay=delay)


def busy(why: str) -> SiteUnknown:
    return SiteUnknown("SITE_BUSY", why)


class AdmissionSlow(InProgress):
    """The API server answers other calls, but not this write: its admission webhooks are slow.

    The write continues, and the next try waits for the same write.
    """

    def __init__(self, what: str, resource: tuple[str, str], seconds: float, webhooks: str = "") -> None:
        """what: "create configmaps". resource: (API group, plural)."""
        asks = f" It asks {webhooks} first." if webhooks else ""
        super().__init__(
            "ADMISSION_SLOW",
            f"The API server has not answered after {seconds:.0f} s: {what}. Its admission webhooks are slow.{asks}",
            delay=1.0,
        )
        self.what, self.resource, self.seconds = what, resource, seconds

    @property
    def operation(self) -> str:
        """The operation as the rules of a webhook name it."""
        return {"create": "CREATE", "patch": "UPDATE", "delete": "DELETE"}[self.what.partition(" ")[0]]


class Unauthenticated(SiteUnknown):
    """The API server does not accept our credentials, or treats the call as anonymous."""

    def __init__(self, message: str) -> None:
        super().__init__("SITE_REFUSES_US", message, delay=SLOW_DELAY)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is no success. said: the Status object of the API; {} when something else answered."""

    status: int
    headers: Mapping[str, str]
    said: Body = field(default_factory=dict)

    @classmethod
    def read(cls, status: int, headers: Mapping[str, str], data: bytes) -> "Refusal":
        try:
            said = json.loads(data)
        except ValueError:
            said = None
        return cls(status, headers, said if isinstance(said, dict) and said.get("kind") == "Status" else {})

    @property
    def reason(self) -> str:
        return str(self.said.get("reason") or "")

    @property
    def message(self) -> str:
        return cut(str(self.said.get("message") or f"answered {self.status}"))

    @property
    def details(self) -> Body:
        return self.said.get("details") or {}

    def is_missing(self, name: str) -> bool:
        """Whether the API itself says that the object `name` does not exist. A 404 of a proxy proves nothing."""
        return self.status == 404 and self.reason == "NotFound" and self.details.get("name") == name

    def is_unauthenticated(self) -> bool:
        """Whether the credentials were refused. A 403 for the anonymous user says nothing about the call itself.

        An admission webhook may refuse with any status, also with 401. It is called after credentials were accepted.
        """
        if self.status == 401:
            return not _DENIED.search(self.message)
        return self.status == 403 and f'User "{ANONYMOUS}"' in self.message

    def is_other_uid(self) -> bool:
        """Whether a delete was refused because another object has the name now."""
        return self.status == 409 and "precondition" in self.message.casefold()

    def error(self) -> Temporary | Permanent:
        """The error to raise. It is Permanent only for what the API calls invalid."""
        if not self.said and self.status in (400, 403, 404, 409, 410, 413, 422):
            return unreachable(f"something that is not a Kubernetes API answered {self.status}")
        if self.is_unauthenticated():
            return Unauthenticated(f"the API server does not know our credentials: {self.message}")
        if denied := _DENIED.search(self.message):
            reason, delay = "ADMISSION_DENIED", FORBIDDEN_DELAY
            return NotYet(reason, f"webhook {denied[1]} refuses: {self.message}", delay=delay)
        if failed := _FAILED.search(self.message):
            return NotYet("ADMISSION_FAILED", f"webhook {failed[1]} failed: {self.message}", delay=SLOW_DELAY)
        known = _BY_STATUS.get(self.status)
        return known(self) if known else SiteUnknown("SITE_UNREACHABLE", self.message, delay=self.delay(2.0))

    def delay(self, otherwise: float) -> float:
        """Seconds until the next try as the API asks for them, bounded; `otherwise` when it does not ask."""
        asks = self.headers.get("Retry-After") or self.details.get("retryAfterSeconds") or otherwise
        try:
            seconds = float(asks)
        except (TypeError, ValueError):
            seconds = otherwise
        return min(LATEST_SECONDS, max(SOONEST_SECONDS, seconds))


def _forbidden(refusal: Refusal) -> NotYet:
    causes = {cause.get("reason") for cause in refusal.details.get("causes") or []}
    if "NamespaceTerminating" in causes:
        return TenantMissing("NAMESPACE_GOING", refusal.message)
    if any(words in refusal.message for words in _QUOTA_WORDS):
        # A quota notices deletes late.
        return NotYet("SITE_QUOTA", refusal.message, delay=SLOW_DELAY)
    return NotYet("SITE_FORBIDS", refusal.message, delay=FORBIDDEN_DELAY)


def _missing(refusal: Refusal) -> NotYet:
    if refusal.details.get("kind") == "namespaces":
        return TenantMissing("NAMESPACE_GOING", refusal.message)
    return NotYet("SITE_LACKS", refusal.message, delay=SLOW_DELAY)


def _conflict(refusal: Refusal) -> NotYet:
    if refusal.reason == "AlreadyExists":
        return AlreadyExists(refusal.message)
    return NotYet("SITE_CONFLICT", refusal.message, delay=SOONEST_SECONDS)


def _rejected(refusal: Refusal) -> Permanent:
    return Permanent("SITE_REJECTS", refusal.message)


_BY_STATUS: dict[int, Callable[[Refusal], Temporary | Permanent]] = {
    # A log of a pod that has no machine yet.
    204: lambda refusal: NotYet("NOTHING_YET", "there is nothing to be read yet", delay=1.0),
    400: _rejected,
    403: _forbidden,
    404: _missing,
    409: _conflict,
    410: lambda refusal: Expired(refusal.message),
    413: _rejected,
    422: _rejected,
    429: lambda refusal: SiteUnknown("SITE_BUSY", refusal.message, delay=refusal.delay(1.0)),
}
