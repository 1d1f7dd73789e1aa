from ipaddress import ip_address
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from controlplane.api.authentication import BearerAuthentication, actor_of
from controlplane.metrics.collector import Database, Processes

# What proxies add: then it is the proxy that is on this machine, not who asks.
FORWARDED: Final = ("Forwarded", "X-Forwarded-For", "X-Real-IP")


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus text or OpenMetrics. It names every tenant: for this machine, and elsewhere for site admins."""
    if not (_is_from_here(request) or _is_site_admin(request)):
        refusal = HttpResponse("Send the token of a site admin.\n", status=401, content_type="text/plain")
        refusal["WWW-Authenticate"] = BearerAuthentication().authenticate_header(Request(request))
        return refusal
    registry = CollectorRegistry()
    registry.register(Processes(settings.DATA_DIR / "run"))
    registry.register(Database())
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(registry), content_type=content_type)


def _is_from_here(request: HttpRequest) -> bool:
    if any(name in request.headers for name in FORWARDED):
        return False
    try:
        return ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


def _is_site_admin(request: HttpRequest) -> bool:
    asked = Request(request)
    try:
        found = BearerAuthentication().authenticate(asked)
    except AuthenticationFailed:
        return False
    return found is not None and actor_of(asked).above_tenants and actor_of(asked).has_scope("tenants:read")
