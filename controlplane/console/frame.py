"""The parts that all pages share: access checks, the frame around a page, and the answers to refusals."""

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, Final, cast
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.template.loader import render_to_string
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

from controlplane.console import sessions
from controlplane.console.calls import Call, curl_lines
from controlplane.console.errors import error_page, refusal_page
from controlplane.console.security import secured
from tenants import audit
from tenants.access import Access, tenant_for
from tenants.actors import Actor, actor_for
from tenants.errors import NeedsRole, NotFound, Refused
from tenants.models import Role, User
from tenants.selectors import members, tenants_of

READ: Final = ("GET", "HEAD")
# The switcher lists this many tenants. The page of tenants lists the others.
SWITCHER: Final = 12
MOST_NAMED: Final = 5
# The entry of the navigation that each page belongs to.
NAV: Final = (
    {"home": "home", "tenants": "tenants"}
    | dict.fromkeys(("clusters", "cluster", "resize", "delete", "log"), "clusters")
    | dict.fromkeys(("users", "user", "user_new", "user_delete"), "users")
)

PageFunction = Callable[..., HttpResponse]


class ConsoleRequest(HttpRequest):
    """A request of a signed-in user."""

    user: User
    htmx: HtmxDetails
    actor: Actor


def site_view(
    *, methods: Iterable[str] = READ, for_temporary: bool = False
) -> Callable[[PageFunction], PageFunction]:
    """Decorates a page that belongs to no tenant: view(request, **kwargs of the URL).

    for_temporary: users with a temporary password may open it. They must change the password before they open others.
    """

    def decorate(view: PageFunction) -> PageFunction:
        return _guarded(
            view,
            tuple(methods),
            lambda request, kwargs: view(request, **kwargs),
            for_temporary=for_temporary,
        )

    return decorate


def tenant_view(
    *, methods: Iterable[str] = READ, back: str = "", verb: str = ""
) -> Callable[[PageFunction], PageFunction]:
    """Decorates a page of a tenant: view(request, access, **kwargs of the URL).

    back: the URL name of the page that shows the refusal of a POST. verb: for the audit; {name} is a URL part.
    """

    def decorate(view: PageFunction) -> PageFunction:
        def entered(request: ConsoleRequest, kwargs: dict[str, Any]) -> HttpResponse:
            access = tenant_for(request.actor, kwargs.pop("tenant"))
            try:
                return view(request, access, **kwargs)
            except Refused as refusal:
                _audit_refusal(request, refusal, access, verb.format(**kwargs), kwargs)
                return _refusal_answer(request, refusal, access, back, kwargs)

        return _guarded(view, tuple(methods), entered)

    return decorate


def show(
    request: ConsoleRequest,
    name: str,
    context: Mapping[str, Any],
    *,
    access: Access | None = None,
    calls: Iterable[Call] = (),
    status: int = 200,
) -> HttpResponse:
    """The page `name`, or only the part that changes when htmx requests it."""
    if request.htmx:
        return HttpResponse(
            render_to_string(f"console/parts/{name}.html", {"access": access, **context}, request)
        )
    frame = {
        "access": access,
        "actor": request.actor,
        "nav": NAV.get(name, ""),
        "switcher": tenants_of(request.actor)[: SWITCHER + 1],
        "most_tenants": SWITCHER,
        "calls": curl_lines(request, calls),
    }
    if access is not None and request.session.get("tenant") != access.tenant.name:
        # The page "/" leads to this tenant the next time.
        request.session["tenant"] = access.tenant.name
    return HttpResponse(
        render_to_string(f"console/{name}.html", {**frame, **context}, request), status=status
    )


def see_other(to: str, **kwargs: object) -> HttpResponse:
    """Redirects to a page after a POST, so that reloading the page does not repeat the POST."""
    return HttpResponseRedirect(resolve_url(to, **kwargs), status=303)


def _guarded(
    view: PageFunction,
    methods: tuple[str, ...],
    run: Callable[[ConsoleRequest, dict[str, Any]], HttpResponse],
    *,
    for_temporary: bool = False,
) -> PageFunction:
    @wraps(view)
    def wrapped(plain: HttpRequest, **kwargs: Any) -> HttpResponse:
        request = cast(ConsoleRequest, plain)
        if request.method not in methods:
            response = error_page(request, 405)
            response.headers["Allow"] = ", ".join(methods)
            return response
        if not request.user.is_authenticated:
            return _to_sign_in(request)
        if sessions.is_over(request, by_hand=not request.htmx):
            logout(request)
            return _to_sign_in(request)
        if request.user.password_temporary_until is not None and not for_temporary:
            return see_other("console:account")
        request.actor = actor_for(request.user, request_id=getattr(request, "request_id", ""))
        try:
            return run(request, kwargs)
        except Refused as refusal:
            _audit_refusal(request, refusal, None, "", {})
            return refusal_page(request, refusal)

    return secured(wrapped)


def _to_sign_in(request: ConsoleRequest) -> HttpResponse:
    """Redirects to the sign-in, which leads back to the page; after a POST it leads to the first page."""
    login = resolve_url(settings.LOGIN_URL)
    if request.htmx:
        return HttpResponseClientRedirect(
            f"{login}?{urlencode({'next': request.htmx.current_url_abs_path or '/'})}"
        )
    after = request.get_full_path() if request.method in READ else "/"
    return HttpResponseRedirect(f"{login}?{urlencode({'next': after})}")


def _refusal_answer(
    request: ConsoleRequest, refusal: Refused, access: Access, back: str, kwargs: Mapping[str, Any]
) -> HttpResponse:
    """An error page for a missing role or thing; for other refusals the page `back` with a message."""
    if isinstance(refusal, NeedsRole):
        admins = members(access.tenant).filter(role=Role.ADMIN, user__is_active=True)
        names = admins.values_list("user__username", flat=True)[:MOST_NAMED]
        return refusal_page(request, refusal, people=list(names))
    if not back or isinstance(refusal, NotFound):
        return refusal_page(request, refusal)
    messages.error(request, refusal_text(refusal))
    kept = {"cluster": kwargs["cluster"]} if "cluster" in kwargs else {}
    return see_other(back, tenant=access.tenant.name, **kept)


def refusal_text(refusal: Refused) -> str:
    """The refusal with its levels, errors and proposals, as safe HTML."""
    return render_to_string("console/parts/refusal.html", {"refusal": refusal, **refusal.extra})


def _audit_refusal(
    request: ConsoleRequest, refusal: Refused, access: Access | None, verb: str, kwargs: Mapping[str, Any]
) -> None:
    if not audit.is_audited(refusal):
        return
    audit.record_refusal(
        actor=request.actor,
        verb=verb or f"console.{(request.method or 'GET').lower()}",
        target=f"cluster/{kwargs['cluster']}" if "cluster" in kwargs else request.path,
        reason=refusal.reason,
        tenant=access.tenant if access else None,
    )
