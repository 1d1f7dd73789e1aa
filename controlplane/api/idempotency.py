"""Idempotency-Key: a request that is sent twice is executed once, and answered the same.

The row of the key is inserted first, in the transaction of the change. A parallel duplicate waits on its unique index
until the first has ended, and then finds the stored answer. A refusal rolls the row back, so nothing is stored.
"""

import hmac
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import OperationalError, transaction
from django.db.models import Count
from django.db.models.functions import Now
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.api.authentication import actor_of
from controlplane.api.models import IdempotencyKey
from controlplane.api.queries import insert_idempotency_key, limit_lock_waits
from tenants.errors import Conflict, Invalid, KeyReused

HEADER: Final = "Idempotency-Key"
KEPT: Final = timedelta(hours=24)
# Keys of one user: one request every four seconds for a whole day.
MOST_KEPT: Final = 20_000
KEY_PATTERN: Final = "[!-~]{1,255}"

_STORED_HEADERS: Final = ("Location", "ETag")
# How long a duplicate waits for the first request, and any request for a locked row.
LOCK_WAIT = "5s"
_PURGED_AT_ONCE: Final = 5000
_RETRY_SECONDS: Final = 5
_LOCK_NOT_AVAILABLE: Final = "55P03"

Redact = Callable[[object], object]


def key_of(request: Request) -> str | None:
    """The key in the header of the request. Raises Invalid for an unusable one."""
    key = request.headers.get(HEADER)
    if key is not None and not re.fullmatch(KEY_PATTERN, key):
        detail = "Use 1 to 255 visible ASCII characters, such as a UUID."
        raise Invalid(errors=[{"header": HEADER, "detail": detail}])  # type: ignore[typeddict-unknown-key,typeddict-item]
    return key


def once(
    request: Request,
    key: str,
    execute: Callable[[], Response],
    *,
    recheck: Callable[[], None],
    redact: Redact,
) -> Response:
    """The answer of `execute`, or the stored answer of an earlier request with this key.

    recheck: raises if the user may not do this any more. redact: returns the body as it may be stored.
    Raises KeyReused, Conflict KEY_IN_USE, and the errors of execute and recheck.
    """
    fingerprint = _fingerprint(request)
    with transaction.atomic():
        limit_lock_waits(LOCK_WAIT)
        while (row_id := _insert(request, key, fingerprint)) is None:
            stored = IdempotencyKey.objects.filter(user=actor_of(request).user_id, key=key)
            if stored.filter(created_at__lt=Now() - KEPT).delete()[0]:
                continue
            if row := stored.first():
                return _replay(row, fingerprint, recheck)
        response = execute()
        IdempotencyKey.objects.filter(pk=row_id).update(
            status=response.status_code,
            body=redact(response.data),
            headers={name: response[name] for name in _STORED_HEADERS if name in response},
        )
        return response


def purge() -> bool:
    """Delete a bounded number of the keys that are older than a day or above a user's cap, the oldest first.

    Returns whether more are left.
    """
    old = IdempotencyKey.objects.filter(created_at__lt=Now() - KEPT).order_by("created_at").values("pk")
    gone = IdempotencyKey.objects.filter(pk__in=old[:_PURGED_AT_ONCE]).delete()[0]
    return gone + _purge_excess() >= _PURGED_AT_ONCE


def _purge_excess() -> int:
    """The number of keys is bounded because no quota counts them."""
    many = IdempotencyKey.objects.values("user").annotate(keys=Count("pk")).filter(keys__gt=MOST_KEPT)
    gone = 0
    for user, keys in many.values_list("user", "keys"):
        oldest = IdempotencyKey.objects.filter(user=user).order_by("pk").values("pk")
        excess = min(keys - MOST_KEPT, _PURGED_AT_ONCE)
        gone += IdempotencyKey.objects.filter(pk__in=oldest[:excess]).delete()[0]
    return gone


def _fingerprint(request: Request) -> str:
    # Keyed, as a body may hold a password that could be guessed from a plain hash.
    digest = hmac.new(settings.INSTALLATION_KEY.encode(), digestmod="sha256")
    for part in (request.method, request.path, request.META.get("QUERY_STRING", "")):
        digest.update(str(part).encode() + b"\0")
    digest.update(request._request.body)
    return digest.hexdigest()


def _insert(request: Request, key: str, fingerprint: str) -> int | None:
    """The id of the new row; None when the key exists. Raises Conflict KEY_IN_USE."""
    try:
        return insert_idempotency_key(actor_of(request).user_id, key, fingerprint)
    except OperationalError as error:
        if getattr(error.__cause__, "pgcode", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise Conflict(
            "KEY_IN_USE",
            "A request with this Idempotency-Key is still under way. Send it again a little later.",
            retry_after=_RETRY_SECONDS,
        ) from None


def _replay(row: IdempotencyKey, fingerprint: str, recheck: Callable[[], None]) -> Response:
    recheck()
    if row.fingerprint != fingerprint:
        raise KeyReused()
    return Response(row.body, status=row.status, headers=row.headers)
