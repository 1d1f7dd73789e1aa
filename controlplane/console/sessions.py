"""How long a session lasts: twelve hours without a page, and a week in any case, unless the settings say else."""

import time
from typing import Final

from django.conf import settings
from django.contrib.sessions.models import Session
from django.http import HttpRequest
from django.utils import timezone

_BEGAN: Final = "began"
_SEEN: Final = "seen"
# The row is written no more often than this.
_NOTED_EVERY: Final = 60


def begin(request: HttpRequest) -> None:
    """After a sign-in. Also removes the rows of sessions that nobody ended."""
    request.session[_BEGAN] = request.session[_SEEN] = time.time()
    Session.objects.filter(expire_date__lt=timezone.now()).delete()


def is_over(request: HttpRequest, *, by_hand: bool) -> bool:
    """Whether it lasted too long. by_hand: somebody asked for a page; a page that refreshes itself keeps nothing."""
    now, session = time.time(), request.session
    began, seen = session.setdefault(_BEGAN, now), session.setdefault(_SEEN, now)
    if now - began > settings.SESSION_HOURS * 3600 or now - seen > settings.SESSION_IDLE_HOURS * 3600:
        return True
    if by_hand and now - seen > _NOTED_EVERY:
        session[_SEEN] = now
    return False
