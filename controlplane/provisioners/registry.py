"""One provisioner per site and process."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from controlplane.provisioners.base import Provisioner


def _local(root: Path) -> Provisioner:
    from controlplane.provisioners.local.provisioner import LocalProvisioner

    return LocalProvisioner(root)


def _fake(root: Path) -> Provisioner:
    from controlplane.provisioners.fake import FakeProvisioner

    return FakeProvisioner()


KINDS: dict[str, Callable[[Path], Provisioner]] = {"local": _local, "fake": _fake}


@cache
def provisioner(kind: str, name: str, root: Path) -> Provisioner:
    """The provisioner of the site `name`. root: where a site that keeps files keeps them. KeyError: no such kind."""
    return KINDS[kind](root / name)
