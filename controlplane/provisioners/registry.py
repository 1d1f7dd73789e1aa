"""One provisioner per site and process."""

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from controlplane.provisioners.base import Provisioner

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
    """Keeps the provisioner of each site as the site is now. One that was replaced goes with its connections once
    nobody works with it any more; until then whoever knows the site as it was gets the same one.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, Path], Provisioner] = {}
        self._known: WeakValueDictionary[tuple[str, str, Path, str], Provisioner] = WeakValueDictionary()
        self._lock = threading.Lock()

    def __call__(self, kind: str, name: str, root: Path, settings: str = "{}") -> Provisioner:
        """The provisioner of the site `name`. KeyError: no such kind.

        root: where a site that keeps files keeps them. settings: what a person said about the site, as a JSON object.
        """
        with self._lock:
            found = self._known.get((kind, name, root, settings))
            if found is None:
                found = KINDS[kind](root / name, json.loads(settings))
                self._known[kind, name, root, settings] = found
            self._kept[kind, name, root] = found
            return found

    def cache_clear(self) -> None:
        with self._lock:
            self._kept.clear()
            self._known.clear()


provisioner = Registry()
