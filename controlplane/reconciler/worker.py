"""The worker: the loop over due work, a watch on every site, and the chores that some worker has to do."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from controlplane.reconciler import logs
from controlplane.reconciler.tasks import HANDLERS
from controlplane.reconciler.watches import Watches
from controlplane.work.holder import give_back
from controlplane.work.loop import SWEEP_SECONDS, Loop
from tenants import seal

log = structlog.get_logger(__name__)

PURGE_SECONDS = 3600.0


@dataclass
class Chore:
    """Something to do now and then; due at the first sweep."""

    name: str
    every: float
    do: Callable[[], object]
    last: float = float("-inf")


class Worker:
    """Blocks in `run` until `stop`. chores: what layers above want done beside our own."""

    def __init__(self, *, threads: int = 4, observe: bool = True, chores: Sequence[Chore] = ()) -> None:
        self._watches = Watches()
        self._chores = [
            Chore("give back leases of the dead", SWEEP_SECONDS, give_back),
            Chore("seal the audit", 1.0, _seal),
            Chore("drop old logs and events", PURGE_SECONDS, logs.purge),
            *([Chore("watch sites", SWEEP_SECONDS, self._watches.refresh)] if observe else []),
            *chores,
        ]
        self.loop = Loop(HANDLERS, threads=threads, on_sweep=self._sweep)

    def run(self) -> None:
        try:
            self.loop.run()
        finally:
            self._watches.end()

    def stop(self) -> None:
        self.loop.stop()

    def _sweep(self) -> None:
        now = time.monotonic()
        for chore in self._chores:
            if now - chore.last >= chore.every:
                chore.last = now
                chore.do()


def _seal() -> None:
    if seal.unsealed():
        seal.seal()
