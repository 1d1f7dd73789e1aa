"""The answer to every exception. Refusals by access and quota are audited here."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.http import Http404
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.api import disk, problems
from controlplane.api.authentication import actor_of
from controlplane.api.parsers import TooLarge
from controlplane.provisioners.base import Temporary
from tenants import audit
from tenants.errors import Invalid, NotFound, Refused, TooBusy, pointer_token
from tenants.models import Tenant, TenantState
from tenants.names import lookup_column

log = structlog.get_logger(__name__)

# status: (reason, title), for refusals of the framework.
KNOWN: Final = {
    400: ("MALFORMED", "Malformed request"),
    401: ("UNAUTHENTICATED", "Not authenticated"),
    403: ("FORBIDDEN", "Forbidden"),
    404: (NotFound.default_reason, NotFound.title),
    405: ("METHOD_NOT_ALLOWED", "Method not allowed"),
    406: ("NOT_ACCEPTABLE", "Not acceptable"),
    411: ("LENGTH_REQUIRED", "Length required"),
    413: ("TOO_LARGE", "Too large"),
    415: ("UNSUPPORTED_MEDIA_TYPE", "Unsupported media type"),
    429: ("TOO_MANY_REQUESTS", "Too many requests"),
    500: ("INTERNAL", "Internal error"),
}
INTERNAL: Final = "Something went wrong here. It is in the log under this request_id."
# The target of a request, by its name in the URL, the narrowest first.
_NOUNS: Final = {
    "cluster": "cluster",
    "template": "template",
    "operation": "operation",
    "user": "member",
    "token": "token",
    "tenant": "tenant",
}
# The transaction waited too long for a lock, was cancelled or lost to another one. It changed nothing; try again.
_TRANSIENT: Final = frozenset({"55P03", "57014", "40001", "40P01", "53300", "57P03"})
_DISK_FULL: Final = "53100"


def handle(error: Exception, context: Mapping[str, Any]) -> Response:
    """The exception handler of the REST framework."""
    request: Request = context["request"]
    # A problem is JSON, even where the endpoint or the client has another media type.
    request.accepted_renderer = JSONRenderer()
    request.accepted_media_type = problems.MEDIA_TYPE
    refusal = _as_refusal(error)
    if refusal is not None:
        _audit(refusal, context)
        return _refused(request, refusal)
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    elif isinstance(error, RequestDataTooBig):
        error = TooLarge()
    if isinstance(error, exceptions.APIException) and error.status_code < 500:
        return _framework(request, error)
    return _internal(request, error)


def pointers(detail: Any, pointer: str = "") -> Iterator[dict[str, str]]:
    """The errors of a serializer, with nested ones, as {"pointer", "detail"} each."""
    if isinstance(detail, Mapping):
        for key, inner in detail.items():
            whole = key == "non_field_errors"
            yield from pointers(inner, pointer if whole else f"{pointer}/{pointer_token(key)}")
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            is_text = isinstance(inner, str)
            yield from pointers(inner, pointer if is_text else f"{pointer}/{index}")
    else:
        yield {"pointer": pointer, "detail": str(detail)}


def _as_refusal(error: Exception) -> Refused | None:
    """The refusal that an error means; None for a fault of Slipway."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, exceptions.ValidationError):
        return Invalid(errors=pointers(error.detail))  # type: ignore[arg-type]
    if isinstance(error, Temporary):
        return TooBusy(error.message, reason=error.reason, retry_after=max(1, round(error.delay)))
    if isinstance(error, DatabaseError | InterfaceError):
        return _as_busy(error)
    return None


def _as_busy(error: Exception) -> TooBusy | None:
    if getattr(error.__cause__, "pgcode", None) in _TRANSIENT:
        return TooBusy()
    if isinstance(error, OperationalError | InterfaceError):
        log.warning("database_away", error=str(error).strip()[:200])
        connection.close()
        if getattr(error.__cause__, "pgcode", None) == _DISK_FULL or disk.is_full():
            return TooBusy(disk.SENTENCE, reason="DISK_FULL", retry_after=30)
        return TooBusy(
            "The database cannot be reached at the moment.", reason="DATABASE_UNAVAILABLE", retry_after=2
        )
    return None


def _refused(request: Request, refusal: Refused) -> Response:
    document = problems.problem(
        request,
        status=refusal.status,
        reason=refusal.reason,
        title=refusal.title,
        detail=refusal.detail,
        extra=refusal.extra,
    )
    response = Response(document, status=refusal.status, content_type=problems.MEDIA_TYPE)
    if "retry_after" in refusal.extra:
        response["Retry-After"] = str(refusal.extra["retry_after"])
    return response


def _framework(request: Request, error: exceptions.APIException) -> Response:
    reason, title = KNOWN.get(error.status_code, ("REFUSED", "Refused"))
    detail = NotFound.default_detail if error.status_code == 404 else str(error.detail)
    document = problems.problem(request, status=error.status_code, reason=reason, title=title, detail=detail)
    response = Response(document, status=error.status_code, content_type=problems.MEDIA_TYPE)
    if header := getattr(error, "auth_header", None):
        response["WWW-Authenticate"] = header
    if wait := getattr(error, "wait", None):
        response["Retry-After"] = str(int(wait) + 1)
    return response


def _internal(request: Request, error: Exception) -> Response:
    log.error("request_failed", method=request.method, path=request.path, exc_info=error)
    reason, title = KNOWN[500]
    document = problems.problem(request, status=500, reason=reason, title=title, detail=INTERNAL)
    return Response(document, status=500, content_type=problems.MEDIA_TYPE)


def _audit(refusal: Refused, context: Mapping[str, Any]) -> None:
    """Audit the refusal. Admins of a tenant see refusals there, even of users who are no members."""
    request = context["request"]
    if not hasattr(request, "actor") or not audit.is_audited(refusal):
        return
    spec = context["view"].spec_of(request.method)
    audit.record_refusal(
        actor=actor_of(request),
        verb=spec.id if spec else str(request.method).lower(),
        target=_target(context["kwargs"]),
        reason=refusal.reason,
        tenant=getattr(request, "entered", None) or _tenant_named(context["kwargs"].get("tenant")),
    )


def _target(path: Mapping[str, str]) -> str:
    """The target of the request as the audit names it, such as cluster/etl-1."""
    if "user" in path and "tenant" not in path:
        return f"user/{path['user']}"
    return next((f"{noun}/{path[name]}" for name, noun in _NOUNS.items() if name in path), "site")


def _tenant_named(ident: str | None) -> Tenant | None:
    lookup = lookup_column(ident) if ident else None
    return Tenant.objects.exclude(state=TenantState.DELETED).filter(lookup).first() if lookup else None
