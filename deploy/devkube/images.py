"""Images without a registry: one of our own for DNS, pauses and small tests, and archives made elsewhere."""

import hashlib
import io
import json
import os
import re
import shutil
import tarfile
from pathlib import Path

from deploy.devkube.settings import Devkube, DevkubeError, run

OWN = ("localhost/busybox:1", "localhost/coredns:1")
# As a pod's pause it sleeps until it is killed; whoever runs it for more names a command.
CONFIG = {"Entrypoint": ["/bin/sleep", "infinity"], "Env": ["PATH=/bin"]}
PEOPLE = b"root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def load(kube: Devkube, *archives: Path) -> None:
    """Import docker or OCI archives; they keep their names, for imagePullPolicy Never."""
    for archive in archives:
        if not archive.is_file():
            raise DevkubeError(f"{archive} is not a file.")
        ctr(kube, "images", "import", str(archive))


def provide(kube: Devkube) -> None:
    """Make and import our own image unless containerd has it."""
    if not set(OWN) <= set(ctr(kube, "images", "ls", "-q").split()):
        archive = kube.state / "run" / "own.tar"
        _write(archive, kube.state / "bin" / "coredns")
        load(kube, archive)


def trust(kube: Devkube, registry: str) -> None:
    """Let the node pull from a registry without TLS until it goes down. registry: "host:port"."""
    folder = kube.state / "run" / "registries" / registry
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hosts.toml").write_text(f'server = "http://{registry}"\n[host."http://{registry}"]\n')


def ctr(kube: Devkube, *arguments: str) -> str:
    return run(f"ctr -a {kube.state}/run/containerd.sock -n k8s.io", *arguments)


def _write(archive: Path, coredns: Path) -> None:
    """A docker archive with one layer."""
    layer, busybox = io.BytesIO(), shutil.which("busybox") or ""
    with tarfile.open(fileobj=layer, mode="w", dereference=True) as files:
        _add(files, "etc/passwd", PEOPLE)
        _add(files, "tmp", kind=tarfile.DIRTYPE)
        files.add(coredns, "coredns")
        files.add(busybox, "bin/busybox")
        # Debian's static busybox crashes when it resolves names; this one brings its libraries along.
        for library in re.findall(r"/\S+", run(f"ldd {busybox}")):
            files.add(library)
        for applet in set(run(f"{busybox} --list").split()) - {"busybox"}:
            _add(files, f"bin/{applet}", kind=tarfile.SYMTYPE, link="busybox")
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{digest}"]}
    about = {"architecture": MACHINES[os.uname().machine], "os": "linux", "config": CONFIG, "rootfs": rootfs}
    manifest = [{"Config": "config.json", "RepoTags": OWN, "Layers": ["layer.tar"]}]
    with tarfile.open(archive, "w") as whole:
        _add(whole, "layer.tar", layer.getvalue())
        _add(whole, "config.json", json.dumps(about).encode())
        _add(whole, "manifest.json", json.dumps(manifest).encode())


def _add(
    files: tarfile.TarFile, name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.type, entry.linkname = len(data), kind, link
    entry.mode = 0o1777 if kind == tarfile.DIRTYPE else 0o644
    files.addfile(entry, io.BytesIO(data))
