"""The API described for programs; the page for people is made of this too."""

from functools import lru_cache
from typing import Any, Final

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.settings import patched_settings
from drf_spectacular.views import SpectacularSwaggerSplitView

# Swagger UI sets styles of its elements and has pictures in its style sheet.
_DOCS_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


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
        "description": "A token: made on the page API tokens of the console, or by POST /api/v1/tokens.",
    }
    schemes["password"] = {
        "type": "http",
        "scheme": "basic",
        "description": "Name and password, for POST /api/v1/tokens alone: `curl -u alice`.",
    }
    # Paths stand below the address that the document was read from.
    document["servers"] = [{"url": "/"}]
    return document


@require_safe
def openapi(request: HttpRequest) -> HttpResponse:
    return JsonResponse(openapi_document())


class Docs(SpectacularSwaggerSplitView):
    """The page, and with ?script the script that starts it: none of it is inline."""

    def finalize_response(self, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(*args, **kwargs)
        response["Content-Security-Policy"] = _DOCS_POLICY
        return response
