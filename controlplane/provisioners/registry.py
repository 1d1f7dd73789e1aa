"""Keeps one provisioner per site in each process."""

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from controlplane.provisioners.base import Provisioner

# The JSON object that an admin has stored for a site.
Settings = Mapping[str, Any]


def _local(root: Path, settings: Settings) -> Provisioner:
    from controlplane.provisioners.local.provisioner import LocalProvisioner

    return LocalProvisioner(root)


def _kubernetes(root: Path, settings: Settings) -> Provisioner:
    from controlplane.provisioners.kubernetes.provisioner import KubernetesProvisioner
    from controlplane.provisioners.kubernetes.settings import SiteSettings
    from controlplane.provisioners.kubernetes.site.identity import verified_clients

    parsed = SiteSettings.parse(settings)
    return KubernetesProvisioner(parsed, verified_clients(parsed))


def _fake(root: Path, settings: Settings) -> Provisioner:
    from controlplane.provisioners.fake import FakeProvisioner

    return FakeProvisioner()


KINDS: dict[str, Callable[[Path, Settings], Provisioner]] = {
    "local": _local,
    "kubernetes": _kubernetes,
    "fake": _fake,
}


class Registry:
    """Returns the same provisioner for the same site and settings, so that its connections are used again.

    When a site's settings change, callers with the new settings get a new provisioner. The old one is freed with its
    connections when its last user has finished.
    """

    def __init__(self) -> None:
        # The newest of each site is kept alive here; older ones only live as long as they are in use.
        self._newest: dict[tuple[str, str, Path], Provisioner] = {}
        self._alive: WeakValueDictionary[tuple[str, str, Path, str], Provisioner] = WeakValueDictionary()
        self._lock = threading.Lock()

    def __call__(self, kind: str, name: str, root: Path, settings: str = "{}") -> Provisioner:
        """The provisioner of the site `name`. Raises KeyError for an unknown kind.

        root: a folder for sites that keep files. settings: those of the site, as a JSON object.
        """
        with self._lock:
            found = self._alive.get((kind, name, root, settings))
            if found is None:
                found = KINDS[kind](root / name, json.loads(settings))
                self._alive[kind, name, root, settings] = found
            self._newest[kind, name, root] = found
            return found

    def cache_clear(self) -> None:
        with self._lock:
            self._newest.clear()
            self._alive.clear()


provisioner = Registry()
