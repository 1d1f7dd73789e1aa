"""Opens a built archive: its configuration, its files, and commands that run in it as in a node."""

import json
import re
import subprocess
import tarfile
from functools import cached_property
from pathlib import Path
from typing import Any

# Read-only except for writable folders of a node, as uid 1000, without this process' environment.
ENTER = """set -e
mount --bind "$ROOT" "$ROOT"
mount -t proc proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
mount --bind "$APP" "$ROOT/app"
mount -o remount,ro,bind "$ROOT"
mount -t tmpfs tmpfs "$ROOT/tmp"
mount -t tmpfs -o uid=1000,gid=1000 tmpfs "$ROOT/home/slipway"
ip link set lo up 2>/dev/null || true
exec chroot --userspec=1000:1000 "$ROOT" env -i "$@"
"""

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")


class Archive:
    """One image, unpacked into `folder` on first use."""

    def __init__(self, path: Path, folder: Path, app: Path) -> None:
        self.path, self.folder, self.app = path, folder, app

    def member(self, name: str) -> Any:
        with tarfile.open(self.path) as file:
            content = file.extractfile(name)
            assert content is not None
            return json.load(content)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = self.member("manifest.json")[0]
        return found

    @cached_property
    def config(self) -> dict[str, Any]:
        """User, Env, Labels and so on, of the image's configuration."""
        found: dict[str, Any] = self.member(self.manifest["Config"])["config"]
        return found

    @cached_property
    def environment(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.config["Env"])

    @cached_property
    def root(self) -> Path:
        """All files as a container sees them."""
        root = self.folder / "root"
        root.mkdir()
        with tarfile.open(self.path) as file:
            for layer in self.manifest["Layers"]:
                content = file.extractfile(layer)
                assert content is not None
                with (self.folder / "layer.tar").open("wb") as out:
                    while chunk := content.read(1 << 20):
                        out.write(chunk)
                self._extract(root, self.folder / "layer.tar")
        # Container runtimes provide these.
        (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
        return root

    def _extract(self, root: Path, layer: Path) -> None:
        """Extract a layer over the earlier ones; a file named .wh.NAME deletes NAME."""
        with tarfile.open(layer) as file:
            gone = [Path(name) for name in file.getnames() if Path(name).name.startswith(".wh.")]
        targets = [root / path.parent / path.name.removeprefix(".wh.") for path in gone]
        subprocess.run(["rm", "-rf", "--", *targets], check=True)
        unpack = ["tar", "-x", "-p", "--numeric-owner", "--exclude=.wh.*", "-C", str(root), "-f", str(layer)]
        subprocess.run(unpack, check=True)

    def run(self, *command: str, **variables: str) -> str:
        """The stdout and stderr of a command in its own namespaces, with only a loopback network."""
        environment = {**self.environment, **variables}
        words = [f"{name}={value}" for name, value in environment.items()]
        done = subprocess.run(
            [
                "unshare",
                "--mount",
                "--pid",
                "--net",
                "--kill-child",
                "sh",
                "-c",
                ENTER,
                "sh",
                *words,
                *command,
            ],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "ROOT": str(self.root), "APP": str(self.app)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:]
        return done.stdout


def certificates(text: str) -> set[str]:
    return {"".join(found.split()) for found in _CERTIFICATE.findall(text)}


def public_authorities(root: Path) -> set[str]:
    """Returns the certificates of Debian's own package, without additional ones of this machine."""
    files = (root / "usr/share/ca-certificates").rglob("*.crt")
    return {found for path in files for found in certificates(path.read_text())}
