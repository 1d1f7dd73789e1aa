"""A watch on every site there is, as long as it is there and as it is now."""

import threading
from dataclasses import dataclass
from uuid import UUID

import structlog
from django.db import DatabaseError, InterfaceError, close_old_connections

from controlplane.clusters.models import Site
from controlplane.provisioners.base import Provisioner
from controlplane.reconciler.site.provisioning import provisioner_of
from controlplane.reconciler.site.watch import Watch
from controlplane.work.loop import SWEEP_SECONDS

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Kept:
    provisioner: Provisioner
    watch: Watch


class Watches:
    """Any number of processes may keep theirs side by side: what they write is guarded, and the same."""

    def __init__(self) -> None:
        self._kept: dict[UUID, _Kept] = {}
        self._stopping = threading.Event()

    def refresh(self) -> None:
        """Start what is missing or was changed, stop what is gone."""
        sites = {site.id: site for site in Site.objects.all()}
        for gone in set(self._kept) - set(sites):
            self._drop(gone)
        for site in sites.values():
            try:
                self._refresh(site)
            except Exception as error:  # noqa: BLE001 - one site that cannot be watched must not hide the others
                log.warning(
                    "site_not_watched", site=site.name, error=f"{type(error).__name__}: {error}"[:200]
                )

    def run(self) -> None:
        """Until `stop`."""
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
        for kept in self._kept.values():
            kept.watch.stop()

    def _refresh(self, site: Site) -> None:
        kept = self._kept.get(site.id)
        try:
            provisioner = provisioner_of(site)
        except Exception:
            self._drop(site.id)
            raise
        if kept and kept.provisioner is provisioner and kept.watch.thread.is_alive():
            return
        self._drop(site.id)
        watch = Watch(site, provisioner)
        self._kept[site.id] = _Kept(provisioner, watch)
        watch.start()

    def _drop(self, site_id: UUID) -> None:
        if kept := self._kept.pop(site_id, None):
            kept.watch.stop()
