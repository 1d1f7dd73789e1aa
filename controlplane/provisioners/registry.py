"""One provisioner per site and process."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from controlplane.provisioners.base import Provisioner

Settings = Mapping[str, Any]


def _local(root: Path, settings: Settings) -> Provisioner:
    from controlplane.provisioners.local.provisioner import LocalProvisioner

    return LocalProvisioner(root)


def _kubernetes(root: Path, settings: Settings) -> Provisioner:
    from controlplane.provisioners.kubernetes.provisioner import KubernetesProvisioner
    from controlplane.provisioners.kubernetes.settings import SiteSettings

    return KubernetesProvisioner(SiteSettings.parse(settings))


def _fake(root: Path, settings: Settings) -> Provisioner:
    from controlplane.provisioners.fake import FakeProvisioner

    return FakeProvisioner()


KINDS: dict[str, Callable[[Path, Settings], Provisioner]] = {
    "local": _local,
    "kubernetes": _kubernetes,
    "fake": _fake,
}


@cache
def provisioner(kind: str, name: str, root: Path, settings: str = "{}") -> Provisioner:
    """The provisioner of the site `name`. KeyError: no such kind.

    root: where a site that keeps files keeps them. settings: what a person said about the site, as a JSON object.
    """
    return KINDS[kind](root / name, json.loads(settings))
