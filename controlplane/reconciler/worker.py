"""The worker: the loop over due work, a watch on every site, and the chores that some worker has to do."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from django.db import DatabaseError, InterfaceError, close_old_connections, connection

from controlplane.reconciler.cluster import node_logs as logs
from controlplane.reconciler.site.watches import Watches
from controlplane.reconciler.tasks import HANDLERS
from controlplane.work.lease_owner import release_dead_leases
from controlplane.work.loop import SWEEP_SECONDS, THREADS, Loop
from tenants import seal

log = structlog.get_logger(__name__)

PURGE_SECONDS = 3600.0


@dataclass
class Chore:
    """Something to do now and then; due at the first sweep.

    do: takes a bounded time. Returns True when more is left; then it is due again at the next sweep.
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
        except Exception:  # the other chores, and this one at its next turn, must not wait for a repair
            log.exception("chore_failed", chore=chore.name)


class Worker:
    """Blocks in `run` until `stop`. chores: what layers above want done beside our own. beat: see Loop.on_turn."""

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
                Chore("give back leases of the dead", SWEEP_SECONDS, release_dead_leases),
                Chore("seal the audit", 1.0, _seal),
                Chore("drop old logs and events", PURGE_SECONDS, logs.purge),
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


def _seal() -> bool:
    return seal.unsealed() and seal.seal() == seal.BATCH
