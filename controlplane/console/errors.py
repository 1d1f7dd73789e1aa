"""Error pages. They read nothing from the database, because it may be the cause of the error."""

from collections.abc import Sequence

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from controlplane.console import words
from controlplane.console.security import secure
from tenants.errors import Refused


def error_page(
    request: HttpRequest, status: int, *, title: str = "", detail: str = "", people: Sequence[str] = ()
) -> HttpResponse:
    """The page of an error. people: the user names to ask for help."""
    context = {
        "status": status,
        "title": title or words.ERROR_TITLES.get(status, words.ERROR_TITLE),
        "detail": detail or words.ERROR_DETAILS.get(status, ""),
        "people": people,
        "request_id": getattr(request, "request_id", ""),
    }
    return secure(HttpResponse(render_to_string("console/error.html", context), status=status))


def refusal_page(request: HttpRequest, refusal: Refused, people: Sequence[str] = ()) -> HttpResponse:
    """The page of a refusal. A missing thing and one of another tenant look the same."""
    detail = "" if refusal.status == 404 else refusal.detail
    title = words.ERROR_TITLES.get(refusal.status, refusal.title)
    return error_page(request, refusal.status, title=title, detail=detail, people=people)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return error_page(request, 400)


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return error_page(request, 403, title=words.FORBIDDEN_TITLE)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return error_page(request, 403, title=words.STALE_FORM_TITLE)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return error_page(request, 404)


def server_error(request: HttpRequest) -> HttpResponse:
    return error_page(request, 500)
