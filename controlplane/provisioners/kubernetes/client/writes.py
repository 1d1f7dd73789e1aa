"""Writes that continue after the call that began them.

An API server cancels a write when its client disconnects, so behind a slow admission webhook no short call would ever
succeed. A write continues in its own thread when its caller's time is over. The next call with the same key waits for
the same write, and an object that took long to create is not created twice.
"""

import threading
import time
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from controlplane.provisioners.base import Permanent, Temporary
from controlplane.provisioners.kubernetes.client.errors import busy

Answer = tuple[int, Mapping[str, str], bytes]

# The most writes of one client without an answer.
MOST = 256
# An answer that came after its caller's time is kept this long for the next call.
KEPT_SECONDS = 60.0
SLOW_SECONDS = 1.0


@dataclass(eq=False, slots=True)
class _Write:
    """began, ended: monotonic time. ended is None while the write continues."""

    answer: "Future[Answer]" = field(default_factory=Future)
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None

    @property
    def is_known(self) -> bool:
        return self.ended is None or time.monotonic() - self.ended < KEPT_SECONDS

    def is_worth_keeping(self) -> bool:
        """Whether it created something slowly: then the next try need not send the write again."""
        ended = self.ended or time.monotonic()
        return self.answer.result()[0] in (200, 201, 202) and ended - self.began >= SLOW_SECONDS


@dataclass(frozen=True, slots=True)
class Written:
    """by_us: this call began the write; otherwise an earlier call did."""

    answer: Answer
    by_us: bool


class Writes:
    """The writes of one client. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Hashable, _Write] = {}

    def make(self, key: Hashable, send: Callable[[], Answer], seconds: float, *, keep: bool) -> Written:
        """Begin a write, or wait for the one with the same key.

        keep: the answer of a slow write also answers the next call. Raises TimeoutError when there is no answer after
        `seconds`, and what `send` raises.
        """
        write, by_us = self._begun(key, send)
        try:
            answer = write.answer.result(max(0.0, seconds))
        except (Temporary, Permanent):
            self.forget(key, write)
            raise
        if not (keep and write.is_worth_keeping()):
            self.forget(key, write)
        return Written(answer, by_us)

    def forget(self, key: Hashable, write: _Write | None = None) -> None:
        """The next call with this key begins a new write."""
        with self._lock:
            if write is None or self._known.get(key) is write:
                self._known.pop(key, None)

    def _begun(self, key: Hashable, send: Callable[[], Answer]) -> tuple[_Write, bool]:
        with self._lock:
            self._known = {key: write for key, write in self._known.items() if write.is_known}
            if key in self._known:
                return self._known[key], False
            if len(self._known) >= MOST:
                raise busy(f"{MOST} writes wait for an answer of the API server")
            write = self._known[key] = _Write()
        threading.Thread(target=_run, args=(write, send), name="kubernetes-write", daemon=True).start()
        return write, True


def _run(write: _Write, send: Callable[[], Answer]) -> None:
    try:
        answer = send()
    except BaseException as error:  # noqa: BLE001 - handed to the call that waits for it
        write.ended = time.monotonic()
        write.answer.set_exception(error)
    else:
        write.ended = time.monotonic()
        write.answer.set_result(answer)
