"""Whether this process lives, and whether it can serve."""

from typing import Final

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from controlplane.api import disk
from controlplane.clusters.models import Site
from controlplane.clusters.models.site import SiteKind

_LAG: Final = """
SELECT coalesce(extract(epoch FROM clock_timestamp() - min(greatest(due_at, lease_until))), 0)
  FROM work_work WHERE due_at <= clock_timestamp() AND coalesce(lease_until <= clock_timestamp(), true)
"""


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """503 only without a database that takes writes: sites and workers may be away while this still answers."""
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
    """How many, by the last verdict that a worker wrote. Not which: nobody has said who asks."""
    sites = Site.objects.all() if settings.FAKE_SITE else Site.objects.exclude(kind=SiteKind.FAKE)
    verdicts = list(sites.values_list("ready", flat=True))
    return {"ready": sum(verdicts), "not_ready": len(verdicts) - sum(verdicts)}


def _lag() -> float:
    """How long the oldest work has been due that nobody looks after."""
    with connection.cursor() as cursor:
        cursor.execute(_LAG)
        [seconds] = cursor.fetchone()
    return round(max(0.0, float(seconds)), 3)
