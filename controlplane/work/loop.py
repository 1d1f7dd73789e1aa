"""The worker's loop: claim what is due, hand it to a thread, sleep until there is a reason not to."""

import os
import select
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import structlog
from django.db import DatabaseError, InterfaceError, close_old_connections, connection

from controlplane.metrics import instruments
from controlplane.work.announce import CHANNEL
from controlplane.work.claim import Claimed, LostLease, claim, release, seconds_until_due

log = structlog.get_logger(__name__)

# Handles one claimed row; seconds until the next look, or None for rest. Raising means "later", with back-off.
Handler = Callable[[Claimed], float | None]

SWEEP_SECONDS = 5.0
BACKOFF_LIMIT_SECONDS = 60.0


class Later(Exception):  # noqa: N818
    """Raised by a handler: nothing went wrong here, but try again after `delay` seconds."""

    def __init__(self, delay: float) -> None:
        super().__init__(f"later, in {delay:.1f} s")
        self.delay = delay


class Loop:
    """One per process. `run` blocks; `stop` and `nudge` may be called from any thread or signal handler."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        *,
        threads: int = 4,
        on_sweep: Callable[[], None] = lambda: None,
    ) -> None:
        self._handlers, self._on_sweep = handlers, on_sweep
        self._free = threading.Semaphore(threads)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="work")
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._stopping = False

    def nudge(self) -> None:
        with suppress(BlockingIOError):
            os.write(self._write, b"!")

    def stop(self) -> None:
        self._stopping = True
        self.nudge()

    def run(self) -> None:
        while not self._stopping:
            try:
                self._serve()
            except (DatabaseError, InterfaceError) as error:
                log.warning("database_away", error=str(error).strip()[:200])
                connection.close()
                self._sleep([], 1.0)
        self._pool.shutdown(wait=True)
        connection.close()

    def _serve(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")
        while not self._stopping:
            self._on_sweep()
            self._claim_all()
            wait = seconds_until_due(list(self._handlers), at_most=SWEEP_SECONDS)
            self._sleep([connection.connection], wait)

    def _claim_all(self) -> None:
        while not self._stopping and self._free.acquire(blocking=False):
            claimed = claim(list(self._handlers))
            if claimed is None:
                self._free.release()
                return
            instruments.SWEEP_LAG.observe(claimed.late)
            self._pool.submit(self._work, claimed)

    def _work(self, claimed: Claimed) -> None:
        try:
            run_once(claimed, self._handlers[claimed.kind])
        except Exception:  # the lease runs out and the row is claimed again
            log.exception("work_lost", kind=claimed.kind, key=str(claimed.key))
        finally:
            close_old_connections()
            self._free.release()
            self.nudge()

    def _sleep(self, sockets: list[object], seconds: float) -> None:
        # With every thread busy there is nothing to claim: only a finished one (the pipe) is a reason to wake.
        busy = not self._free.acquire(blocking=False)
        if not busy:
            self._free.release()
        ready, _, _ = select.select(
            [self._read, *([] if busy else sockets)], [], [], SWEEP_SECONDS if busy else seconds
        )
        if self._read in ready:
            os.read(self._read, 4096)
        for source in ready:
            if source is not self._read:
                source.poll()  # type: ignore[attr-defined]
                source.notifies.clear()  # type: ignore[attr-defined]


def run_once(claimed: Claimed, handler: Handler) -> None:
    """Handle one lease to its end: released with what the handler says, or with back-off when it fails."""
    try:
        next_in = handler(claimed)
    except Later as later:
        instruments.PASSES.labels(claimed.kind, "later").inc()
        release(claimed, next_in=later.delay, failed=True)
    except LostLease:
        log.info("lease_lost", kind=claimed.kind, key=str(claimed.key))
    except Exception:
        log.exception("pass_failed", kind=claimed.kind, key=str(claimed.key), attempts=claimed.attempts)
        instruments.PASSES.labels(claimed.kind, "failed").inc()
        release(claimed, next_in=backoff(claimed.attempts), failed=True)
    else:
        instruments.PASSES.labels(claimed.kind, "done").inc()
        release(claimed, next_in=next_in)


def backoff(attempts: int) -> float:
    """Seconds before try number attempts + 1: 1, 2, 4 … 60."""
    return min(BACKOFF_LIMIT_SECONDS, 2.0 ** (min(attempts, 10) - 1))
