"""Watching sites: their events become stored observations as they happen."""

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from uuid import UUID

import structlog
from django.db import DatabaseError, InterfaceError, close_old_connections, connection

from controlplane.clusters.models import Site
from controlplane.provisioners.base import NodeObservation, Provisioner
from controlplane.reconciler.site.observations import add_observations
from controlplane.reconciler.site.provisioning import provisioner_of
from controlplane.reconciler.site.queries import STARTING
from controlplane.work.loop import SWEEP_SECONDS
from controlplane.work.models import Kind
from controlplane.work.wake import wake

log = structlog.get_logger(__name__)

RETRY_SECONDS = 1.0
# Events of starting pods are batched for 100 ms: nothing reacts to them sooner.
BATCH_SECONDS = 0.1
MAX_QUEUED = 1000


class Watches:
    """One watch for each site. Several processes may watch the same sites: what they store is guarded and equal."""

    def __init__(self) -> None:
        self._watches: dict[UUID, Watch] = {}
        self._stopping = threading.Event()

    def refresh(self) -> None:
        """Start the watches that are missing or whose site was changed. Stop those whose site is gone."""
        sites = {site.id: site for site in Site.objects.all()}
        for gone in set(self._watches) - set(sites):
            self._drop(gone)
        for site in sites.values():
            try:
                self._refresh(site)
            except Exception as error:  # noqa: BLE001 - a site that cannot be watched must not keep others from it
                log.warning(
                    "site_not_watched", site=site.name, error=f"{type(error).__name__}: {error}"[:200]
                )

    def run(self) -> None:
        """Blocks until `stop`."""
        while not self._stopping.is_set():
            try:
                self.refresh()
            except (DatabaseError, InterfaceError) as error:
                log.warning("sites_not_read", error=f"{type(error).__name__}: {error}"[:200])
            close_old_connections()
            self._stopping.wait(SWEEP_SECONDS)
        self.end()

    def stop(self) -> None:
        self._stopping.set()

    def end(self) -> None:
        """Stop all watches. Returns at once."""
        for watch in self._watches.values():
            watch.stop()

    def _refresh(self, site: Site) -> None:
        watch = self._watches.get(site.id)
        try:
            provisioner = provisioner_of(site)
        except Exception:
            self._drop(site.id)
            raise
        if watch and watch.provisioner is provisioner and watch.thread.is_alive():
            return
        self._drop(site.id)
        watch = self._watches[site.id] = Watch(site, provisioner)
        watch.start()

    def _drop(self, site_id: UUID) -> None:
        if watch := self._watches.pop(site_id, None):
            watch.stop()


class Watch:
    """A thread that stores the events of one site until it is stopped."""

    def __init__(self, site: Site, provisioner: Provisioner) -> None:
        self.provisioner = provisioner
        self.thread = threading.Thread(target=self._run, name=f"watch-{site.name}", daemon=True)
        self._site = site
        self._stopping = threading.Event()
        self._listened = False

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        """Returns at once; the thread ends at its next event."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._store_events()
            except Exception as error:  # noqa: BLE001 - a watch ends only when it is stopped
                log.warning(
                    "watch_broken", site=self._site.name, error=f"{type(error).__name__}: {error}"[:200]
                )
                close_old_connections()
                if self._listened:
                    # The stream broke off, so the last verdict may be outdated: the site is checked at once.
                    self._listened = False
                    with suppress(DatabaseError, InterfaceError):
                        wake(Kind.SITE, self._site.id)
                self._stopping.wait(RETRY_SECONDS)
        connection.close()

    def _store_events(self) -> None:
        listening = False
        with _Writer(self._site.name) as writer:
            for observation in self.provisioner.events():
                if self._stopping.is_set():
                    return
                if not listening:
                    # From here on no event is missed. The listing makes up for earlier ones.
                    listening = self._listened = True
                    wake(Kind.SITE, self._site.id)
                    # The writer has a connection of its own, and this thread needs none from here on.
                    connection.close()
                writer.check()
                if observation is not None:
                    writer.put(observation)


class _Writer:
    """Stores observations in a thread of its own, so that all that arrive during one statement share the next one.

    `put` and `check` raise the error that ended the thread; then queued observations are lost.
    """

    def __init__(self, name: str) -> None:
        self._queue: queue.Queue[NodeObservation | None] = queue.Queue(MAX_QUEUED)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=f"observations-{name}", daemon=True)

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
        """None: the last one. Blocks while the queue is full."""
        while True:
            self.check()
            try:
                return self._queue.put(observation, timeout=0.5)
            except queue.Full:
                continue

    def _run(self) -> None:
        try:
            more = True
            while more:
                batch = list(self._batch())
                observations = [observation for observation in batch if observation is not None]
                if observations:
                    add_observations(*observations)
                more = batch[-1] is not None
        except Exception as error:  # noqa: BLE001 - raised in the thread that puts
            self._error = error
        finally:
            connection.close()

    def _batch(self) -> Iterator[NodeObservation | None]:
        """At least one. Waits up to BATCH_SECONDS for more while all of them are of starting nodes."""
        until = time.monotonic() + BATCH_SECONDS
        yield (observation := self._queue.get())
        while observation is not None:
            if observation.state not in STARTING:
                until = 0.0
            try:
                yield (observation := self._queue.get(timeout=max(0.0, until - time.monotonic())))
            except queue.Empty:
                return
