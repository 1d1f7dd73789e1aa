"""The security headers of every page of the console."""

from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import add_never_cache_headers, patch_vary_headers

P = ParamSpec("P")
R = TypeVar("R", bound=HttpResponseBase)

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def secure(response: R) -> R:
    """Adds the headers: no inline code, nothing from other sites, and no caching, because links may contain tokens."""
    for name, value in HEADERS.items():
        response.headers[name] = value
    add_never_cache_headers(response)
    patch_vary_headers(response, ["Cookie", "HX-Request"])
    return response


def secured(view: Callable[P, HttpResponse]) -> Callable[P, HttpResponse]:
    """Decorates a view whose responses get the headers."""

    @wraps(view)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        return secure(view(*args, **kwargs))

    return wrapped
