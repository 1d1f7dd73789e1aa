"""Every route of the API, read from the URL conf."""

import re
from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, URLResolver

from controlplane.api.endpoint import Endpoint
from controlplane.api.urls import urlpatterns

METHODS = ("get", "post", "put", "patch", "delete")


def routes() -> list[str]:
    """ "GET tenants/{tenant}/clusters", and so on."""
    return [
        f"{method.upper()} {path}"
        for path, view in _walk(urlpatterns, "")
        if issubclass(view, Endpoint)
        for method in METHODS
        if hasattr(view, method)
    ]


def _walk(patterns: list[Any], prefix: str) -> Iterator[tuple[str, type]]:
    for pattern in patterns:
        path = prefix + re.sub(r"<\w+:(\w+)>", r"{\1}", str(pattern.pattern))
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern) and hasattr(pattern.callback, "cls"):
            yield path, pattern.callback.cls
