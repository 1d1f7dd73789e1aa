"""The pages for signing in and out."""

from typing import Any, Final

from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase

from controlplane.console import sessions
from controlplane.console.security import secure
from tenants.errors import TooManyAttempts, WrongPassword
from tenants.models import User
from tenants.services import device_cookie, sign_in, sign_out
from tenants.services.sign_in import DEVICE_DAYS

# Proves that this user signed in with this browser before. It gives no access.
DEVICE_COOKIE: Final = "slipway_device"


class SignIn(LoginView):
    """Signs in with tenants.services.sign_in, which counts wrong attempts, in place of Django's form."""

    template_name = "console/sign_in.html"
    redirect_authenticated_user = True

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return secure(super().dispatch(request, *args, **kwargs))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            user = sign_in(
                username=request.POST.get("username", ""),
                password=request.POST.get("password", ""),
                address=address_of(request),
                via="session",
                device=request.COOKIES.get(DEVICE_COOKIE, ""),
                request_id=getattr(request, "request_id", ""),
            )
        except (TooManyAttempts, WrongPassword) as refusal:
            return self._refused(refusal)
        login(request, user)
        sessions.begin(request)
        response = HttpResponseRedirect(self.get_success_url())
        response.set_cookie(
            DEVICE_COOKIE,
            device_cookie(user),
            max_age=DEVICE_DAYS * 24 * 3600,
            path="/login",
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )
        return response

    def _refused(self, refusal: TooManyAttempts | WrongPassword) -> HttpResponse:
        context = self.get_context_data(refusal=refusal, username=self.request.POST.get("username", ""))
        response = self.render_to_response(context, status=refusal.status)
        if "retry_after" in refusal.extra:
            response.headers["Retry-After"] = str(refusal.extra["retry_after"])
        return response


class SignOut(LogoutView):
    """Signs out. Only by POST."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return secure(super().dispatch(request, *args, **kwargs))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if isinstance(request.user, User):
            sign_out(
                user=request.user,
                address=address_of(request),
                request_id=getattr(request, "request_id", ""),
            )
        return super().post(request, *args, **kwargs)


def address_of(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR", ""))
