"""The URL conf: probes, the API, and the console for everything else."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from controlplane.api import failures, health
from controlplane.console import errors as pages
from controlplane.monitoring import views as metrics

urlpatterns = [
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", metrics.metrics),
    path("api/v1/", include("controlplane.api.urls")),
    path("", include("controlplane.console.urls")),
]

Failure = Callable[..., HttpResponse]


def _for_both(for_programs: Failure, for_people: Failure) -> Failure:
    """Returns a handler that answers /api/ by JSON and everything else by a page."""

    def failure(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        answer = for_programs if request.path.startswith("/api/") else for_people
        return answer(request, *args, **kwargs)

    return failure


handler400 = _for_both(failures.bad_request, pages.bad_request)
handler403 = _for_both(failures.forbidden, pages.forbidden)
handler404 = _for_both(failures.not_found, pages.not_found)
handler500 = _for_both(failures.server_error, pages.server_error)
