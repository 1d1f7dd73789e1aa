"""The worker: the loop over due work, a watch on every site, and periodic chores."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from django.db import DatabaseError, InterfaceError, close_old_connections, connection

from controlplane.reconciler.cluster import node_logs
from controlplane.reconciler.site.watches import Watches
from controlplane.reconciler.tasks import HANDLERS
from controlplane.work.lease_owner import release_dead_leases
from controlplane.work.loop import SWEEP_SECONDS, THREADS, Loop
from tenants import seal

log = structlog.get_logger(__name__)

PURGE_SECONDS = 3600.0


@dataclass
class Chore:
    """A periodic task, due at the first sweep. every: seconds.

    do: takes a bounded time. Returns True when more is left; then the chore is due again at the next sweep.
    """

    name: str
    every: float
    do: Callable[[], object]
    last: float = float("-inf")

    def run(self) -> None:
        self.last = time.monotonic()
        if self.do() is True:
            self.last = float("-inf")


class Chores:
    """Runs due chores one after the other in a thread of its own, so that claims never wait for a chore."""

    def __init__(self, chores: Sequence[Chore]) -> None:
        self._chores = chores
        self._swept = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="chores", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when the chore that runs now has ended."""
        self._stopping = True
        self._swept.set()
        self._thread.join()

    def sweep(self) -> None:
        """Let the thread look for due chores. Returns at once."""
        self._swept.set()

    def _run(self) -> None:
        while not self._stopping:
            try:
                for chore in self._chores:
                    if not self._stopping and time.monotonic() - chore.last >= chore.every:
                        self._do(chore)
            except (DatabaseError, InterfaceError) as error:
                log.warning("chores_wait_for_database", error=str(error).strip()[:200])
            close_old_connections()
            self._swept.wait(SWEEP_SECONDS)
            self._swept.clear()
        connection.close()

    def _do(self, chore: Chore) -> None:
        try:
            chore.run()
        except (DatabaseError, InterfaceError):
            raise
        except Exception:  # the other chores go on, and this one is tried again
            log.exception("chore_failed", chore=chore.name)


class Worker:
    """Blocks in `run` until `stop`.

    observe: watch the sites too. chores: of the layers above, beside our own. beat: see on_turn of Loop.
    """

    def __init__(
        self,
        *,
        threads: int = THREADS,
        observe: bool = True,
        chores: Sequence[Chore] = (),
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._watches = Watches()
        self._chores = Chores(
            [
                Chore("release dead leases", SWEEP_SECONDS, release_dead_leases),
                Chore("seal the audit", 1.0, lambda: seal.unsealed() and seal.seal() == seal.BATCH),
                Chore("drop old logs and events", PURGE_SECONDS, node_logs.purge),
                *([Chore("watch sites", SWEEP_SECONDS, self._watches.refresh)] if observe else []),
                *chores,
            ]
        )
        self.loop = Loop(HANDLERS, threads=threads, on_sweep=self._chores.sweep, on_turn=beat)

    def run(self) -> None:
        self._chores.start()
        try:
            self.loop.run()
        finally:
            self._chores.stop()
            self._watches.end()

    def stop(self) -> None:
        self.loop.stop()
