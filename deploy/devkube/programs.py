"""Provides the programs of a node: by apt, or built once per version from pinned Go modules."""

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from deploy.devkube.settings import Devkube, DevkubeError, run

MODULES = Path(__file__).parent / "modules"
KUBERNETES = ("apiserver", "controller-manager", "scheduler", "proxy")
# Program -> its folder in modules/, and its Go package.
PROGRAMS = {
    **{f"kube-{name}": ("kubernetes", f"k8s.io/kubernetes/cmd/kube-{name}") for name in KUBERNETES},
    **{name: ("kubernetes", f"k8s.io/kubernetes/cmd/{name}") for name in ("kubelet", "kubectl")},
    "etcd": ("etcd", "go.etcd.io/etcd/server/v3"),
    "coredns": ("coredns", "."),
    "kwok": ("kwok", "sigs.k8s.io/kwok/cmd/kwok"),
}
# Program that shows whether a Debian package is installed -> the package.
PACKAGES = {name: name for name in ("containerd", "runc", "iptables", "openssl", "busybox")}
PACKAGES |= {"ip": "iproute2", "nft": "nftables", "/usr/lib/cni/bridge": "containernetworking-plugins"}
STAMPED = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
Say = Callable[[str], None]


def obstacle() -> str:
    """Returns why this machine cannot run a devkube, and what to do, as a clause; "" when it can."""
    if os.uname().sysname != "Linux" or os.geteuid() != 0:
        return "it needs Linux and root"
    if not shutil.which("go", path=_path()):
        return "it needs Go, see https://go.dev/doc/install"
    if _missing_packages() and not shutil.which("apt-get"):
        return f"install {' '.join(_missing_packages())}"
    return ""


def provide(kube: Devkube, say: Say) -> None:
    """Install and build missing programs. The first time takes minutes. Raises DevkubeError."""
    if clause := obstacle():
        raise DevkubeError(f"A devkube cannot run here: {clause}.")
    if packages := _missing_packages():
        say(f"installing {' '.join(packages)}")
        run("apt-get update -qq")
        run("env DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends", *packages)
    for name in PROGRAMS:
        if not (target := built(kube, name)).exists():
            say(f"building {name}")
            started = time.monotonic()
            _build(name, target)
            say(f"built {name} in {time.monotonic() - started:.0f} s")


def built(kube: Devkube, name: str) -> Path:
    """Returns the path of a program, built or not. Each version has its own folder."""
    module = PROGRAMS[name][0]
    sources = sorted((MODULES / module).iterdir())
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    return kube.root / "bin" / f"{module}-{digest[:12]}" / name


def version(module: str, path: str) -> str:
    """Returns the pinned version of a Go module, such as "v1.34.2"."""
    found = re.search(rf"\b{re.escape(path)} (v\S+)", (MODULES / module / "go.mod").read_text())
    return found[1] if found else "unknown"


def go(module: str, command: str, *arguments: str) -> str:
    environment = f"CGO_ENABLED=0 GOFLAGS=-mod=readonly GOWORK=off PATH={_path()}"
    return run(f"env {environment} nice -n 5 go {command}", *arguments, cwd=MODULES / module)


def _build(name: str, target: Path) -> None:
    module, package = PROGRAMS[name]
    release = version("kubernetes", "k8s.io/kubernetes")
    major, minor, _ = release.lstrip("v").split(".")
    values = (f"gitVersion={release}", f"gitMajor={major}", f"gitMinor={minor}", "gitTreeState=clean")
    stamps = " ".join(f"-X {stamped}.{value}" for stamped in STAMPED for value in values)
    half_built = target.with_name(f"{name}.{os.getpid()}")
    go(module, f"build -p 2 -trimpath -buildvcs=false -o {half_built} -ldflags", f"-s -w {stamps}", package)
    half_built.rename(target)


def _missing_packages() -> list[str]:
    return [package for program, package in PACKAGES.items() if not shutil.which(program)]


def _path() -> str:
    return f"{os.environ.get('PATH', os.defpath)}:/usr/local/go/bin"
