"""Watching a site: its news become rows as they happen."""

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import structlog
from django.db import DatabaseError, InterfaceError, close_old_connections, connection

from controlplane.clusters.models import Site
from controlplane.provisioners.base import NodeObservation, Provisioner
from controlplane.reconciler.site.observations import STARTING, notice
from controlplane.work.models import Kind
from controlplane.work.wake import wake

log = structlog.get_logger(__name__)

RETRY_SECONDS = 1.0
# Of pods that start there is news every few milliseconds, and of nobody's interest until they have.
GATHER_SECONDS = 0.1
MOST_WAITING = 1000


class Watch:
    """One thread per site that takes in its events until it is stopped."""

    def __init__(self, site: Site, provisioner: Provisioner) -> None:
        self._site, self._provisioner = site, provisioner
        self._stopping = threading.Event()
        self._listened = False
        self.thread = threading.Thread(target=self._run, name=f"watch-{site.name}", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._take_in()
            except Exception as error:  # noqa: BLE001 - a watch ends when it is told to, and not before
                log.warning(
                    "watch_broken", site=self._site.name, error=f"{type(error).__name__}: {error}"[:200]
                )
                close_old_connections()
                self._doubt_site()
                self._stopping.wait(RETRY_SECONDS)
        connection.close()

    def _doubt_site(self) -> None:
        """A site that was listened to and broke off is checked at once: its last verdict may not hold any more."""
        if self._listened:
            self._listened = False
            with suppress(DatabaseError, InterfaceError):
                wake(Kind.SITE, self._site.id)

    def _take_in(self) -> None:
        listening = False
        with _Writer(self._site.name) as writer:
            for observation in self._provisioner.events():
                if self._stopping.is_set():
                    return
                if not listening:
                    # From here on nothing is missed; the listing makes up for what was before.
                    listening = self._listened = True
                    wake(Kind.SITE, self._site.id)
                    # The writer has one of its own, and this thread only listens from here on.
                    connection.close()
                writer.check()
                if observation is not None:
                    writer.put(observation)


class _Writer:
    """Writes what is heard, while more is being heard: what has gathered meanwhile takes one statement.

    Raises in `put` and `check` what kept it from writing; then news are lost.
    """

    def __init__(self, name: str) -> None:
        self._box: queue.Queue[NodeObservation | None] = queue.Queue(MOST_WAITING)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=f"news-{name}", daemon=True)

    def __enter__(self) -> "_Writer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._error is None:
            self.put(None)
        self._thread.join()

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    def put(self, observation: NodeObservation | None) -> None:
        while True:
            self.check()
            try:
                return self._box.put(observation, timeout=0.5)
            except queue.Full:
                continue

    def _run(self) -> None:
        try:
            while self._write():
                pass
        except Exception as error:  # noqa: BLE001 - whoever listens is told
            self._error = error
        finally:
            connection.close()

    def _write(self) -> bool:
        """What there is, once there is something; whether there will be more."""
        batch = list(self._gathered())
        observations = [observation for observation in batch if observation is not None]
        if observations:
            notice(*observations)
        return batch[-1] is not None

    def _gathered(self) -> Iterator[NodeObservation | None]:
        """At least one. Nodes that are only starting wait a little for what comes next; all else waits for nothing."""
        until = time.monotonic() + GATHER_SECONDS
        yield (observation := self._box.get())
        while observation is not None:
            if observation.state not in STARTING:
                until = 0.0
            try:
                yield (observation := self._box.get(timeout=max(0.0, until - time.monotonic())))
            except queue.Empty:
                return
