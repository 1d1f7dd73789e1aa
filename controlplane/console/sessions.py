"""Ends sessions: SESSION_IDLE_HOURS after the last page (default 12), SESSION_HOURS after the sign-in (default 168)."""

import time
from typing import Final

from django.conf import settings
from django.contrib.sessions.models import Session
from django.http import HttpRequest
from django.utils import timezone

_BEGAN: Final = "began"
_LAST_PAGE: Final = "last_page"
# The row is written at most once in this many seconds.
_WRITTEN_EVERY: Final = 60


def begin(request: HttpRequest) -> None:
    """Starts the times of a new session. Also deletes the rows of expired sessions of all users."""
    request.session[_BEGAN] = request.session[_LAST_PAGE] = time.time()
    Session.objects.filter(expire_date__lt=timezone.now()).delete()


def is_over(request: HttpRequest, *, by_hand: bool) -> bool:
    """Whether the session lasted too long.

    by_hand: the user opened the page; a page that refreshes itself does not extend the session.
    """
    now, session = time.time(), request.session
    began, last_page = session.setdefault(_BEGAN, now), session.setdefault(_LAST_PAGE, now)
    if now - began > settings.SESSION_HOURS * 3600 or now - last_page > settings.SESSION_IDLE_HOURS * 3600:
        return True
    if by_hand and now - last_page > _WRITTEN_EVERY:
        session[_LAST_PAGE] = now
    return False
