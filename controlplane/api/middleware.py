import logging
import re
import time
import uuid
from collections.abc import Callable
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from structlog.contextvars import bind_contextvars, clear_contextvars

HEADER: Final = "X-Request-Id"
_META: Final = "HTTP_X_REQUEST_ID"
_SANE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LONGEST: Final = 500
_NO_PAGE: Final = "default-src 'none'; frame-ancestors 'none'"

Handler = Callable[[HttpRequest], HttpResponse]
log = structlog.get_logger(__name__)


class RequestIdMiddleware:
    """Gives every request an id, and puts it in the answer. A well-formed id that the client sent is kept."""

    def __init__(self, get_response: Handler) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.META.get(_META, "")
        request_id = given if _SANE.fullmatch(given) else uuid.uuid4().hex
        request.request_id = request_id  # type: ignore[attr-defined]
        response = self._get_response(request)
        response[HEADER] = request_id
        # Pages have a policy of their own; other answers load nothing.
        response.headers.setdefault("Content-Security-Policy", _NO_PAGE)
        return response


class ClientAddressMiddleware:
    """Makes REMOTE_ADDR the client's, where the connection comes from a proxy that the settings trust."""

    def __init__(self, get_response: Handler) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        hops = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
        while hops and _is_trusted(request.META.get("REMOTE_ADDR", "")):
            hop = hops.pop().strip()
            if _address(hop) is None:
                break
            request.META["REMOTE_ADDR"] = hop
        return self._get_response(request)


def _is_trusted(text: str) -> bool:
    address = _address(text)
    return address is not None and any(address in network for network in settings.TRUSTED_PROXIES)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


class RequestLogMiddleware:
    """Logs one line per answered request: user, path, address, status and seconds.

    All lines that are logged meanwhile have the id of the request, which the answer and the audit have too.
    """

    def __init__(self, get_response: Handler) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        began = time.perf_counter()
        clear_contextvars()
        bind_contextvars(request_id=request.request_id)  # type: ignore[attr-defined]
        try:
            response = self._get_response(request)
            facts = _facts(request, response)
            log.log(_level(response), "request", **facts, seconds=round(time.perf_counter() - began, 4))
        finally:
            clear_contextvars()
        return response


def _level(response: HttpResponse) -> int:
    if response.status_code < HTTPStatus.BAD_REQUEST:
        return logging.INFO
    return logging.WARNING if response.status_code < HTTPStatus.INTERNAL_SERVER_ERROR else logging.ERROR


def _facts(request: HttpRequest, response: HttpResponse) -> dict[str, Any]:
    meta = request.META
    facts = {
        "method": request.method,
        # Without the query, which may hold secrets of the user.
        "path": request.path[:_LONGEST],
        "code": response.status_code,
        "user_id": _user_id(request),
        "ip": meta.get("REMOTE_ADDR"),
        "user_agent": meta.get("HTTP_USER_AGENT", "")[:_LONGEST],
    }
    if forwarded := meta.get("HTTP_X_FORWARDED_FOR"):
        facts["forwarded_for"] = forwarded[:_LONGEST]
    return facts


def _user_id(request: HttpRequest) -> str | None:
    """The owner of the token, or the user of the session if it was read already. Reads nothing."""
    if actor := getattr(request, "actor", None):
        return str(actor.user_id)
    user = getattr(request, "_cached_user", None)
    return str(user.pk) if user is not None and user.is_authenticated else None
