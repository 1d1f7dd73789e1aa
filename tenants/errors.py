"""Refusals: expected errors that are safe to show to the user. Programs can rely on the reason of each."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, ClassVar, Final, TypedDict

# A refusal lists at most this many field errors, and validation stops after them, however large the request is.
MOST_ERRORS: Final = 20


class FieldError(TypedDict):
    """An error in one field of a request. pointer: the JSON pointer of the field, "" for the whole body."""

    pointer: str
    detail: str


class Refused(Exception):  # noqa: N818 - a refusal is an answer, not an error
    """The request was understood and refused. It changed nothing.

    status: of HTTP. reason: a stable UPPER_SNAKE code for programs. detail: a sentence that says what to do next.
    extra: further members of the answer.
    """

    status: ClassVar[int] = 409
    title: ClassVar[str] = "Refused"
    default_reason: ClassVar[str] = "REFUSED"
    default_detail: ClassVar[str] = "The request was refused."

    def __init__(self, detail: str = "", *, reason: str = "", **extra: Any) -> None:
        self.detail = detail or self.default_detail
        self.reason = reason or self.default_reason
        self.extra: dict[str, Any] = extra
        super().__init__(f"{self.reason}: {self.detail}")


class NotFound(Refused):
    """Missing, deleted and other tenants' things. The detail is always the same, so that it does not reveal which.

    by_access: the actor named something that access control hides; the audit records such refusals.
    """

    status = 404
    title = "Not found"
    default_reason = "NOT_FOUND"
    default_detail = (
        "Nothing here has this name or id, or you may not see it. Check the spelling and your access."
    )

    def __init__(self, *, by_access: bool = False) -> None:
        super().__init__()
        self.by_access = by_access


class UserNotFound(NotFound):
    """The named user does not exist. Only for actors who may see the users of the tenant."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__()
        self.reason, self.detail = reason, detail


def pointer_token(key: object, longest: int = 64) -> str:
    """One step of a JSON pointer, escaped as RFC 6901 says. A longer or unprintable key is shown as far as possible."""
    text = str(key)
    short = text if len(text) <= longest else text[:longest] + "…"
    shown = "".join(letter if letter.isprintable() else "?" for letter in short)
    return shown.replace("~", "~0").replace("/", "~1")


def no_such_member() -> UserNotFound:
    return UserNotFound(
        "NO_SUCH_MEMBER",
        "No member of this tenant has this name. Check the spelling; an admin of the tenant adds members.",
    )


class NeedsRole(Refused):
    """The actor may see the thing but lacks the role for this. extra: role, granted_by."""

    status = 403
    title = "Needs another role"
    default_reason = "NEEDS_ROLE"

    def __init__(self, role: str, *, granted_by: str) -> None:
        detail = f"This needs the role {role}. It can be granted by {granted_by}."
        super().__init__(detail, role=role, granted_by=granted_by)


class NeedsScope(Refused):
    """The token lacks a scope. extra: scope."""

    status = 403
    title = "Needs another scope"
    default_reason = "NEEDS_SCOPE"

    def __init__(self, scope: str) -> None:
        detail = f"This token lacks the scope {scope}. Make a token that has it, or one with all scopes."
        super().__init__(detail, scope=scope)


class Invalid(Refused):
    """Fields of the request have wrong values. extra: errors, one per field, the first MOST_ERRORS of them."""

    status = 400
    title = "Invalid request"
    default_reason = "INVALID"
    default_detail = "Some fields of the request are not valid. Correct what `errors` lists."

    def __init__(self, detail: str = "", *, errors: Iterable[FieldError] = ()) -> None:
        found = list(islice(errors, MOST_ERRORS)) or [
            FieldError(pointer="", detail=detail or self.default_detail)
        ]
        summary = detail or (found[0]["detail"] if len(found) == 1 else self.default_detail)
        super().__init__(summary, errors=found)

    @property
    def errors(self) -> list[FieldError]:
        errors: list[FieldError] = self.extra["errors"]
        return errors

    @classmethod
    def at(cls, pointer: str, detail: str) -> "Invalid":
        return cls(errors=[FieldError(pointer=pointer, detail=detail)])

    def prefixed(self, pointer: str) -> "Invalid":
        """A copy in which `pointer` is put in front of the pointer of every error."""
        return Invalid(
            errors=[FieldError(pointer=pointer + e["pointer"], detail=e["detail"]) for e in self.errors]
        )


class Conflict(Refused):
    """The current state does not allow this: NAME_TAKEN, WRONG_PHASE, OPERATION_IN_PROGRESS, IN_USE, …"""

    title = "Conflict"
    default_reason = "CONFLICT"

    def __init__(self, reason: str, detail: str = "", **extra: Any) -> None:
        super().__init__(detail, reason=reason, **extra)


class QuotaExceeded(Refused):
    """The request does not fit the limits of the tenant or of the member.

    extra: levels [{"scope", "resource", "limit", "held", "wanted", "short_by"}] in JSON quantities;
    would_fit_if_stopped [{"owner", "cluster", "cluster_id", "frees"}]: the actor's own clusters that make room when
    all of them are stopped.
    """

    title = "Quota exceeded"
    default_reason = "QUOTA_EXCEEDED"
    default_detail = "This does not fit the limits; see levels."

    def __init__(
        self,
        detail: str = "",
        *,
        levels: Iterable[Mapping[str, Any]],
        would_fit_if_stopped: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(detail, levels=list(levels), would_fit_if_stopped=list(would_fit_if_stopped))


class PreconditionFailed(Refused):
    """The If-Match header does not match the current version."""

    status = 412
    title = "Changed meanwhile"
    default_reason = "ETAG_MISMATCH"
    default_detail = "This has changed since you read it. Read it again, then repeat with its new ETag."


class KeyReused(Refused):
    """The Idempotency-Key was sent before with a different request."""

    status = 422
    title = "Idempotency key used before"
    default_reason = "KEY_REUSED"
    default_detail = "This Idempotency-Key was used for a different request. Use a fresh one."


class TooBusy(Refused):
    """Slipway cannot take the request now. extra: retry_after, in seconds."""

    status = 503
    title = "Too busy"
    default_reason = "TOO_BUSY"
    default_detail = "Slipway is too busy at the moment. Try again a little later."

    def __init__(self, detail: str = "", *, reason: str = "", retry_after: int = 1) -> None:
        super().__init__(detail, reason=reason, retry_after=retry_after)

    @property
    def retry_after(self) -> int:
        seconds: int = self.extra["retry_after"]
        return seconds


class TooManyAttempts(Refused):
    """Too many wrong passwords or tokens. extra: retry_after, in seconds."""

    status = 429
    title = "Too many attempts"
    default_reason = "TOO_MANY_ATTEMPTS"

    def __init__(self, retry_after: int) -> None:
        detail = f"There were too many wrong attempts. Try again in {retry_after} s."
        super().__init__(detail, retry_after=retry_after)


class WrongPassword(Refused):
    """The name or the password is wrong, or the account cannot sign in. The answer does not reveal which."""

    status = 401
    title = "Wrong name or password"
    default_reason = "UNAUTHENTICATED"
    default_detail = "The user name or the password is wrong. Check upper and lower case."
