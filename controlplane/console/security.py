"""What every page of the console tells the browser about itself."""

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
    """Nothing inline and nothing from elsewhere; and no cache keeps a page, for links in it may hold a token."""
    for name, value in HEADERS.items():
        response.headers[name] = value
    add_never_cache_headers(response)
    patch_vary_headers(response, ["Cookie", "HX-Request"])
    return response


def secured(view: Callable[P, HttpResponse]) -> Callable[P, HttpResponse]:
    @wraps(view)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        return secure(view(*args, **kwargs))

    return wrapped
