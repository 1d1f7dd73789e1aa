"""The base of all images: a public image, or our own, made of Debian packages without a registry."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.tooling.images import build_secrets
from deploy.tooling.images.inputs import SOURCES

if TYPE_CHECKING:
    from deploy.tooling.images.build import Buildah

NAME = "localhost/slipway-base"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def ours() -> str:
    """Returns the name of our own base. It contains a digest of the script that makes it."""
    digest = hashlib.sha256((SOURCES / "make-base").read_bytes()).hexdigest()
    return f"{NAME}:{build_secrets.RELEASE}-{digest[:12]}"


def is_ours(name: str) -> bool:
    return name.startswith(f"{NAME}:")


def provide(name: str, buildah: "Buildah", scratch: Path) -> None:
    """Pull the base into buildah's storage, or make it there, unless the storage has it."""
    if not is_ours(name):
        buildah.run("pull", "--quiet", "--policy", "missing", name)
    elif name not in buildah.output("images", "--format", "{{.Name}}:{{.Tag}}").splitlines():
        _make(name, buildah, scratch)


def _make(name: str, buildah: "Buildah", scratch: Path) -> None:
    buildah.say("making the base from Debian packages")
    make = [str(SOURCES / "make-base"), str(scratch), *filter(None, [build_secrets.debian_mirror()])]
    # The mount namespace ends with the script, and its mounts with it.
    buildah.run_program("unshare", "--mount", *make)
    container = buildah.output("from", "scratch")
    buildah.run("add", "--quiet", container, str(scratch / "rootfs"), "/")
    buildah.run("config", "--cmd", "bash", "--env", f"PATH={PATH}", container)
    buildah.run("commit", "--quiet", "--rm", container, name)
