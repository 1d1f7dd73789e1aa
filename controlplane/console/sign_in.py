"""Signing in and out, and an end to guessing passwords."""

from hashlib import sha256
from typing import Any, Final

from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from controlplane.console.security import secure

# Wrong passwords in a row: for one name from one address, and from one address for all names. Counted by each
# process for itself, and forgotten after the window; the address is the peer's, so behind a proxy it is the proxy's.
WINDOW_SECONDS: Final = 300
MOST_FOR_NAME: Final = 10
MOST_FOR_ADDRESS: Final = 100


class SignIn(LoginView):
    template_name = "console/sign_in.html"
    redirect_authenticated_user = True

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return secure(super().dispatch(request, *args, **kwargs))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if is_barred(request):
            context = self.get_context_data(form=AuthenticationForm(request), barred=True)
            response = self.render_to_response(context, status=429)
            response.headers["Retry-After"] = str(WINDOW_SECONDS)
            return response
        return super().post(request, *args, **kwargs)

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        _count(self.request)
        return self.render_to_response(self.get_context_data(form=form), status=401)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        cache.delete(_keys(self.request)[0])
        return super().form_valid(form)


class SignOut(LogoutView):
    """Only by POST."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return secure(super().dispatch(request, *args, **kwargs))


def is_barred(request: HttpRequest) -> bool:
    name, address = _keys(request)
    found = cache.get_many([name, address])
    return bool(found.get(name, 0) >= MOST_FOR_NAME or found.get(address, 0) >= MOST_FOR_ADDRESS)


def _count(request: HttpRequest) -> None:
    for key in _keys(request):
        if not cache.add(key, 1, WINDOW_SECONDS):
            _increase(key)


def _increase(key: str) -> None:
    try:
        cache.incr(key)
    except ValueError:  # it ran out between the two calls
        cache.add(key, 1, WINDOW_SECONDS)


def _keys(request: HttpRequest) -> tuple[str, str]:
    address = request.META.get("REMOTE_ADDR", "")
    name = request.POST.get("username", "")
    digest = sha256(f"{address} {name}".encode("utf-8", "replace")).hexdigest()
    return f"sign-in:name:{digest}", f"sign-in:address:{address}"
