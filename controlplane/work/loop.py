"""The worker's loop: claim due items, hand each to a thread, sleep until something is due."""

import os
import select
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import structlog
from django.db import DatabaseError, InterfaceError, close_old_connections, connection

from controlplane.metrics import instruments
from controlplane.work.announce import CHANNEL
from controlplane.work.claim import Claimed, LostLease, claim_or_wait, release

log = structlog.get_logger(__name__)

# Handles one work item. Returns the seconds until the next pass, or None for rest. After an exception the item is due
# again with back-off.
Handler = Callable[[Claimed], float | None]

# Passes mostly wait for a site. With 4 an API server batched its quota updates less: 0.56 against 0.68 of the rate at
# which it takes the same objects from a bare script.
THREADS = 16
SWEEP_SECONDS = 5.0
BACKOFF_LIMIT_SECONDS = 60.0
# How soon to claim again when something is due but locked by a transaction that is about to commit.
LOCKED_SECONDS = 0.02
DATABASE_AWAY_SECONDS = 0.5


class RetryLater(Exception):  # noqa: N818
    """Raised by a handler: try again after `delay` seconds. It is not logged as a failure."""

    def __init__(self, delay: float) -> None:
        super().__init__(f"later, in {delay:.1f} s")
        self.delay = delay


class Loop:
    """One per process. `run` blocks; `stop` and `nudge` may be called from any thread or signal handler."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        *,
        threads: int = THREADS,
        on_sweep: Callable[[], None] = lambda: None,
        on_turn: Callable[[], None] = lambda: None,
    ) -> None:
        """on_sweep: called before every claim; has to return at once.

        on_turn: called at least every SWEEP_SECONDS, also while the database is away.
        """
        self._handlers, self._on_sweep, self._on_turn = handlers, on_sweep, on_turn
        self._free_threads = threading.Semaphore(threads)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="work")
        self._unreleased: deque[Claimed] = deque()
        self._listening: object = None
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._stopping = False

    def nudge(self) -> None:
        """End the sleep of the loop."""
        with suppress(BlockingIOError):
            os.write(self._write, b"!")

    def stop(self) -> None:
        self._stopping = True
        self.nudge()

    def run(self) -> None:
        logged = ""
        while not self._stopping:
            try:
                self._serve()
            except (DatabaseError, InterfaceError) as error:
                # Logged once, however long the database is away.
                if logged != (logged := str(error).strip()[:200]):
                    log.warning("database_away", error=logged)
                connection.close()
                self._listening = None
                self._on_turn()
                self._sleep(None, DATABASE_AWAY_SECONDS)
        self._pool.shutdown(wait=True)
        connection.close()

    def _serve(self) -> None:
        while not self._stopping:
            self._on_turn()
            self._on_sweep()
            self._listen()
            self._release_failed()
            self._take_notifications()
            wait = self._claim_all()
            # A notification that came with the answer to a query does not end the sleep.
            if not self._take_notifications():
                self._sleep(connection.connection, wait)

    def _listen(self) -> None:
        # A new connection does not listen yet.
        if connection.connection is None or connection.connection is not self._listening:
            with connection.cursor() as cursor:
                cursor.execute(f"LISTEN {CHANNEL}")
            self._listening = connection.connection

    def _claim_all(self) -> float:
        """Claim an item for each free thread. Returns the seconds until the next claim."""
        while not self._stopping and self._free_threads.acquire(blocking=False):
            claimed: Claimed | float = 0.0
            try:
                claimed = claim_or_wait(list(self._handlers), at_most=SWEEP_SECONDS)
            finally:
                if not isinstance(claimed, Claimed):
                    self._free_threads.release()
            if not isinstance(claimed, Claimed):
                return claimed or LOCKED_SECONDS
            instruments.SWEEP_LAG.observe(claimed.late)
            self._pool.submit(self._work, claimed)
        # The next thread that is free ends the sleep.
        return SWEEP_SECONDS

    def _work(self, claimed: Claimed) -> None:
        try:
            run_once(claimed, self._handlers[claimed.kind])
        except Exception:  # the lease was not released: the loop does that once the database answers again
            log.exception("work_lost", kind=claimed.kind, key=str(claimed.key))
            self._unreleased.append(claimed)
        finally:
            close_old_connections()
            self._free_threads.release()
            self.nudge()

    def _release_failed(self) -> None:
        """Release the leases of passes that could not: their items are due again soon, not when the lease is over."""
        while self._unreleased:
            release(self._unreleased[0], next_in=backoff(self._unreleased[0].attempts), failed=True)
            self._unreleased.popleft()

    def _take_notifications(self) -> bool:
        """Forget the notifications that have arrived. Returns whether there were any."""
        notifies = self._listening.notifies  # type: ignore[attr-defined]
        arrived = bool(notifies)
        notifies.clear()
        return arrived

    def _sleep(self, database: object, seconds: float) -> None:
        """Sleep until the time is over, the loop is nudged, or a notification arrives that a free thread can handle."""
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        busy = not self._free_threads.acquire(blocking=False)
        if not busy:
            self._free_threads.release()
        with connection.wrap_database_errors:
            if database and not busy:
                poll.register(database, select.POLLIN)  # type: ignore[arg-type]
            ready = {number for number, _ in poll.poll((SWEEP_SECONDS if busy else seconds) * 1000)}
            if self._read in ready:
                os.read(self._read, 4096)
            if ready - {self._read}:
                database.poll()  # type: ignore[attr-defined]


def run_once(claimed: Claimed, handler: Handler) -> None:
    """Handle one work item and release it: as the handler says, or with back-off when it fails."""
    try:
        with instruments.PASS.labels(claimed.kind).time():
            next_in = handler(claimed)
    except RetryLater as later:
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
