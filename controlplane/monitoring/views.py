from hmac import compare_digest

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from controlplane.api.authentication import BearerAuthentication, actor_of
from controlplane.monitoring.collector import Database, Processes
from tenants.access import require_site_admin
from tenants.errors import NeedsRole, NeedsScope, TooManyAttempts


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer with Prometheus text or OpenMetrics.

    The page names every tenant, so it always needs a token: SLIPWAY_METRICS_TOKEN, which works without the database
    too, or the token of a site admin with the scope metrics:read.
    """
    expected = settings.METRICS_TOKEN
    given = request.headers.get("Authorization", "")
    if not expected or not compare_digest(given.encode(), f"Bearer {expected}".encode()):
        refusal = _refusal(Request(request))
        if refusal is not None:
            return refusal
    registry = CollectorRegistry()
    registry.register(Processes(settings.DATA_DIR / "run"))
    registry.register(Database())
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(registry), content_type=content_type)


def _refusal(request: Request) -> HttpResponse | None:
    """None when the request has the token of a site admin."""
    try:
        if BearerAuthentication().authenticate(request) is None:
            return _unauthenticated(request, "Send a token.")
        require_site_admin(actor_of(request), "metrics:read")
    except AuthenticationFailed as error:
        return _unauthenticated(request, str(error.detail))
    except TooManyAttempts as error:
        return _plain(429, error.detail, {"Retry-After": str(error.extra["retry_after"])})
    except (NeedsRole, NeedsScope) as error:
        return _plain(403, error.detail)
    except (OperationalError, InterfaceError):
        text = "The database cannot be reached, where tokens are looked up."
        return _plain(503, text, {"Retry-After": "2"})
    return None


def _unauthenticated(request: Request, text: str) -> HttpResponse:
    challenge = {"WWW-Authenticate": BearerAuthentication().authenticate_header(request)}
    return _plain(401, f"{text} It must be a site admin's, with metrics:read.", challenge)


def _plain(status: int, text: str, headers: dict[str, str] | None = None) -> HttpResponse:
    return HttpResponse(f"{text}\n", status=status, content_type="text/plain", headers=headers)
