"""The base of all images: a public one, pulled by its name, or ours, made of Debian's packages without any registry."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.tooling.images import machine
from deploy.tooling.images.inputs import SOURCES

if TYPE_CHECKING:
    from deploy.tooling.images.build import Buildah

NAME = "localhost/slipway-base"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def ours() -> str:
    """Its name, which changes with the way that it is made."""
    digest = hashlib.sha256((SOURCES / "make-base").read_bytes()).hexdigest()
    return f"{NAME}:{machine.RELEASE}-{digest[:12]}"


def is_ours(name: str) -> bool:
    return name.startswith(f"{NAME}:")


def provide(name: str, buildah: "Buildah", scratch: Path) -> None:
    """Have it in buildah's storage: pulled, or made once."""
    if not is_ours(name):
        buildah.run("pull", "--quiet", "--policy", "missing", name)
    elif name not in buildah.ask("images", "--format", "{{.Name}}:{{.Tag}}").splitlines():
        _make(name, buildah, scratch)


def _make(name: str, buildah: "Buildah", scratch: Path) -> None:
    buildah.tell("making the base of Debian's packages")
    make = [str(SOURCES / "make-base"), str(scratch), *filter(None, [machine.debian_mirror()])]
    # What it mounts goes when it ends, however it ends.
    buildah.run_program("unshare", "--mount", *make)
    container = buildah.ask("from", "scratch")
    buildah.run("add", "--quiet", container, str(scratch / "rootfs"), "/")
    buildah.run("config", "--cmd", "bash", "--env", f"PATH={PATH}", container)
    buildah.run("commit", "--quiet", "--rm", container, name)
