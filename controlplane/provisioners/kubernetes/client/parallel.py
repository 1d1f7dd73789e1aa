"""Calls made at once, and calls that share one span of time."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import cache
from typing import TypeVar

T = TypeVar("T")

AT_ONCE = 32
_POOL_NAME = "kubernetes-call"

_deadline: ContextVar[float] = ContextVar("deadline")


def until(seconds: float) -> float:
    """The monotonic time at which a call that may take `seconds` has to be over."""
    latest = time.monotonic() + seconds
    return min(latest, _deadline.get(latest))


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """All calls made inside, in this thread or by `all_of`, share this much time; the one that has none left fails."""
    token = _deadline.set(until(seconds))
    try:
        yield
    finally:
        _deadline.reset(token)


def all_of(calls: Sequence[Callable[[], T]]) -> list[T]:
    """What they return, in order, all made at once. The first error is raised, after all have ended.

    Calls that are made by such a call run one after the other: a bounded pool that waits for itself would stand still.
    """
    if len(calls) < 2 or threading.current_thread().name.startswith(_POOL_NAME):
        return [call() for call in calls]
    first, *others = calls
    futures = [_pool(os.getpid()).submit(copy_context().run, call) for call in others]
    try:
        answers = [first()]
    finally:
        wait(futures)
    return answers + [future.result() for future in futures]


@cache
def _pool(pid: int) -> ThreadPoolExecutor:
    """Of this process: threads do not survive a fork."""
    return ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix=_POOL_NAME)
