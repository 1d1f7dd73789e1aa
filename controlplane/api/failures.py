"""Problem documents for failures outside of the endpoints, such as unknown paths."""

from django.http import HttpRequest, HttpResponse

from controlplane.api.errors import INTERNAL, KNOWN
from controlplane.api.problems import as_response, problem
from tenants.errors import NotFound


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _answer(request, 400, "The request cannot be read.")


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _answer(request, 403, "This is not allowed.")


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _answer(request, 404, NotFound.default_detail)


def server_error(request: HttpRequest) -> HttpResponse:
    return _answer(request, 500, INTERNAL)


def _answer(request: HttpRequest, status: int, detail: str) -> HttpResponse:
    reason, title = KNOWN[status]
    return as_response(problem(request, status=status, reason=reason, title=title, detail=detail))
