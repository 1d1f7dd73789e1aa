"""The pages for what went wrong. They read nothing from the database, which may be what went wrong."""

from collections.abc import Sequence
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from controlplane.console.security import secure
from tenants.errors import Refused

TITLES: Final = {
    400: "This request cannot be read",
    403: "You need another role for this",
    404: "There is nothing here",
    405: "This page cannot be used that way",
    500: "Something went wrong on our side",
    503: "Too busy at the moment",
}
DETAILS: Final = {
    400: "The request was malformed, or the form too large. Go back and try again.",
    403: "The form was too old, or was not sent from this page. Go back, reload the page and try again.",
    404: "The page does not exist, or you may not know of it.",
    405: "Go back and use the buttons of the page.",
    500: "Nothing of yours is lost: what was answered before is kept. Try again; if it stays, "
    "tell whoever runs this Slipway the request id below.",
}


def error_page(
    request: HttpRequest, status: int, *, title: str = "", detail: str = "", people: Sequence[str] = ()
) -> HttpResponse:
    """people: whom to ask."""
    context = {
        "status": status,
        "title": title or TITLES.get(status, "This did not work"),
        "detail": detail or DETAILS.get(status, ""),
        "people": people,
        "request_id": getattr(request, "request_id", ""),
    }
    return secure(HttpResponse(render_to_string("console/error.html", context), status=status))


def refusal_page(request: HttpRequest, refusal: Refused, people: Sequence[str] = ()) -> HttpResponse:
    """For what no page can show in its place. A missing thing and a foreign one look the same."""
    detail = "" if refusal.status == 404 else refusal.detail
    title = TITLES.get(refusal.status, refusal.title)
    return error_page(request, refusal.status, title=title, detail=detail, people=people)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return error_page(request, 400)


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return error_page(request, 403, title="This was refused")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return error_page(request, 403, title="This form is no longer valid")


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return error_page(request, 404)


def server_error(request: HttpRequest) -> HttpResponse:
    return error_page(request, 500)
