"""Liveness and readiness of this process."""

from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import Min, Q
from django.db.models.functions import Greatest, Now
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from controlplane.api import disk
from controlplane.clusters.models import Site
from controlplane.clusters.models.site import SiteKind
from controlplane.work.models import Work


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """503 only where the database takes no writes. Without sites and workers the API still answers."""
    try:
        found = {"database": "ok", "sites": _sites(), "sweep_lag_seconds": _lag()}
    except (DatabaseError, InterfaceError):
        connection.close()
        found = {"database": "unreachable", "sites": {}, "sweep_lag_seconds": None}
    if found["database"] == "ok" and disk.is_full():
        found["database"] = "disk full"
    status = 200 if found["database"] == "ok" else 503
    return JsonResponse(found | {"vault": "not configured"}, status=status)


def _sites() -> dict[str, int]:
    """The number of sites that are ready, and not, by the last check. No names, as anyone may ask."""
    sites = Site.objects.all() if settings.FAKE_SITE else Site.objects.exclude(kind=SiteKind.FAKE)
    verdicts = list(sites.values_list("ready", flat=True))
    return {"ready": sum(verdicts), "not_ready": len(verdicts) - sum(verdicts)}


def _lag() -> float:
    """For how many seconds the oldest work item has been due without a lease."""
    free = Work.objects.filter(Q(lease_until=None) | Q(lease_until__lte=Now()), due_at__lte=Now())
    lag: timedelta | None = free.aggregate(lag=Now() - Min(Greatest("due_at", "lease_until")))["lag"]
    return round(max(0.0, lag.total_seconds()), 3) if lag else 0.0
