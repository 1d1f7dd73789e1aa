"""The API described for programs; the page for people is made of this too."""

from functools import lru_cache
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.settings import patched_settings


@lru_cache(maxsize=1)
def openapi_document() -> dict[str, Any]:
    """OpenAPI 3.1 of every endpoint; the same for everybody."""
    # The framework would lift every enumeration into a component with a made-up name.
    with patched_settings({"POSTPROCESSING_HOOKS": []}):
        document: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes["bearer"] = {
        "type": "http",
        "scheme": "bearer",
        "description": "A token made by POST /api/v1/tokens.",
    }
    return document


@require_safe
def openapi(request: HttpRequest) -> HttpResponse:
    return JsonResponse(openapi_document())
