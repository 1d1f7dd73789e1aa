"""The OpenAPI document, and the page that shows it to people."""

from functools import lru_cache
from typing import Any, Final

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.settings import patched_settings
from drf_spectacular.views import SpectacularSwaggerSplitView

# Swagger UI sets styles of elements, and has images in its style sheet.
_DOCS_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@lru_cache(maxsize=1)
def openapi_document() -> dict[str, Any]:
    """OpenAPI 3.1 of every endpoint; the same for all users."""
    # Otherwise the framework makes a component with an invented name of every enumeration.
    with patched_settings({"POSTPROCESSING_HOOKS": []}):
        document: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes["bearer"] = {
        "type": "http",
        "scheme": "bearer",
        "description": "A token: made on the page API tokens of the console, or by POST /api/v1/tokens.",
    }
    schemes["password"] = {
        "type": "http",
        "scheme": "basic",
        "description": "Name and password, for POST /api/v1/tokens alone: `curl -u alice`.",
    }
    # Paths are relative to the address that the document was read from.
    document["servers"] = [{"url": "/"}]
    return document


@require_safe
def openapi(request: HttpRequest) -> HttpResponse:
    return JsonResponse(openapi_document())


class Docs(SpectacularSwaggerSplitView):
    """The page, and with ?script the script that starts it, so that no script is inline."""

    def finalize_response(self, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(*args, **kwargs)
        response["Content-Security-Policy"] = _DOCS_POLICY
        return response
