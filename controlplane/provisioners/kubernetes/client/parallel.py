"""Calls that run in parallel, and calls that share one time budget."""

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


def deadline(seconds: float) -> float:
    """The monotonic time at which a call of at most `seconds` must end: never later than the current time budget."""
    latest = time.monotonic() + seconds
    return min(latest, _deadline.get(latest))


@contextmanager
def time_budget(seconds: float) -> Iterator[None]:
    """All calls in this block share `seconds`, also those made by `in_parallel`. Calls after that time fail."""
    token = _deadline.set(deadline(seconds))
    try:
        yield
    finally:
        _deadline.reset(token)


def in_parallel(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Run all calls at once and return their results in order. Raises the first error, after all calls have ended.

    Nested calls run one after the other: a bounded pool whose threads wait for the same pool would deadlock.
    """
    if len(calls) < 2 or threading.current_thread().name.startswith(_POOL_NAME):
        return [call() for call in calls]
    first, *others = calls
    futures = [_pool(os.getpid()).submit(copy_context().run, call) for call in others]
    try:
        results = [first()]
    finally:
        wait(futures)
    return results + [future.result() for future in futures]


@cache
def _pool(pid: int) -> ThreadPoolExecutor:
    """The pool of this process: threads do not survive a fork."""
    return ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix=_POOL_NAME)
