"""Installs what the tiers of the tests need: a headless browser, a Kubernetes with the apps' images.

Where that is impossible, a loud line says so, and the tests of that tier skip themselves. CI makes a skip a failure.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from controlplane.standalone.installation.environment import ROOT
from controlplane.standalone.installation.errors import ExpectedError
from deploy.devkube import programs
from deploy.devkube.settings import Devkube, DevkubeError
from deploy.tooling.images.build import build as build_image
from deploy.tooling.images.image import every_image

KUBECONFIG = "SLIPWAY_TEST_KUBECONFIG"
BROWSER_PACKAGES = ("chromium", "chromium-driver")


def needs_browser(arguments: Sequence[str]) -> bool:
    """False when the arguments of pytest name paths, and none of them holds a test of the browser."""
    paths = [argument for argument in arguments if (ROOT / argument.partition("::")[0]).exists()]
    return not paths or any(word in path for path in paths for word in ("console", "browser", "tests/up"))


def provide_browser() -> None:
    """Install Chromium and its driver where we are root on Debian."""
    if _has_browser():
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print("installing Chromium and its driver for the browser tests", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *BROWSER_PACKAGES]
        for command in (["apt-get", "update", "-qq"], install):
            done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
            if done.returncode != 0:
                print(done.stderr.strip()[-500:], file=sys.stderr)
                break
    if not _has_browser():
        print(
            "!! THE BROWSER TIER CANNOT RUN: install chromium and chromedriver "
            f"(on Debian, as root: apt install {' '.join(BROWSER_PACKAGES)})",
            file=sys.stderr,
            flush=True,
        )


def _has_browser() -> bool:
    return bool(shutil.which("chromedriver") and any(map(shutil.which, ("chromium", "google-chrome"))))


def needs_kubernetes(arguments: Sequence[str]) -> bool:
    """False when the paths or marks among the arguments of pytest select no test of the kube tier."""
    chosen = " ".join(arguments)
    if chosen.startswith("-m") or " -m" in chosen:
        return "kube" in chosen and "not kube" not in chosen
    paths = [path for argument in arguments if (path := ROOT / argument.partition("::")[0]).exists()]
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("test_*.py"))]
    return not paths or any("mark.kube" in file.read_text() for file in files)


def kubernetes_in_use() -> str:
    """Returns a noun phrase that names the cluster of the kube tests."""
    if named := os.environ.get(KUBECONFIG):
        return f"the cluster of {named} ({KUBECONFIG})"
    return "a devkube, the project's own one-node Kubernetes"


def provide_kubernetes() -> None:
    """Build the programs of a devkube and the apps' images. The first time this takes minutes."""
    print(f"kube tests use {kubernetes_in_use()}", flush=True)
    if os.environ.get(KUBECONFIG):
        return
    try:
        programs.provide(Devkube.from_environment(), _say)
        for image in every_image():
            build_image(image, _say)
    except (DevkubeError, ExpectedError) as error:
        print(f"!! THE KUBE TIER CANNOT RUN: {error}", file=sys.stderr, flush=True)


def _say(text: str) -> None:
    print(text, flush=True)
