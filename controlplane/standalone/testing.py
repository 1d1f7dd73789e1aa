"""`test` and `lint`: what a developer and CI run, on a machine that has nothing of it yet."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from controlplane.standalone.environment import ROOT, python
from controlplane.standalone.errors import ExpectedError

WORKERS = 2
# A test belongs to one of these. Those of the first share the cores, those of the others go one by one.
PARALLEL, PODS = "not (local or browser or up or kube)", "kube"
PROCESSES = "(local or browser or up) and not kube"
NOTHING_COLLECTED = 5
# Options by which somebody chooses what runs and how: then it runs once, as chosen.
CHOICES = ("-m", "-n", "-p", "--co", "--collect-only", "--fixtures", "--markers", "--version", "-h", "--help")
KUBECONFIG = "SLIPWAY_TEST_KUBECONFIG"
BROWSER_PACKAGES = ("chromium", "chromium-driver")
QUIET = ("-W", "ignore:Got an error checking:RuntimeWarning")
CHECKS = {
    "ruff": ["-m", "ruff", "check", "."],
    "format": ["-m", "ruff", "format", "--check", "."],
    "types": ["-m", "mypy"],
    # The locks are installed without being resolved: nothing that a package needs may be missing from them.
    "lock": ["-m", "pip", "check"],
    "dependencies": ["-m", "controlplane.standalone.dependencies"],
    "layers": ["-c", "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"],
    # It would like to ask a database too, and there is none.
    "migrations": [*QUIET, "manage.py", "makemigrations", "--check", "--dry-run"],
    "django": ["manage.py", "check"],
}


def run_tests(arguments: Sequence[str]) -> int:
    """Run pytest with these arguments. Returns its exit code.

    The tests on pods wait more than they compute, and take the longest: they run beside all others, and what they
    print follows at the end.
    """
    if wants_browser(arguments):
        provide_browser()
    if wants_kubernetes(arguments):
        provide_kubernetes()
    if any(argument.startswith(CHOICES) for argument in arguments):
        return _pytest(arguments)
    parallel = ["-n", str(WORKERS), "-m", PARALLEL, *arguments]
    if any(argument.startswith("--cov") for argument in arguments):
        # They write one file.
        appended = (["--cov-append", "-m", marks, *arguments] for marks in (PROCESSES, PODS))
        return worse(_pytest(parallel), *map(_pytest, appended))
    with _in_background(["-m", PODS, *arguments]) as pods:
        return worse(_pytest(parallel), _pytest(["-m", PROCESSES, *arguments]), pods())


def run_checks() -> int:
    """Run every check, also after one has failed. Returns 1 when one did."""
    failed = []
    for name, arguments in CHECKS.items():
        done = subprocess.run(python(*arguments), cwd=ROOT, check=False)
        if done.returncode != 0:
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else f"{len(CHECKS)} checks passed", flush=True)
    return int(bool(failed))


def _pytest(arguments: Sequence[str]) -> int:
    return subprocess.run(python("-m", "pytest", *arguments), cwd=ROOT, check=False).returncode


@contextmanager
def _in_background(arguments: Sequence[str]) -> Iterator[Callable[[], int]]:
    """Yields what waits for its end, prints all that it said and returns its exit code."""
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        process = subprocess.Popen(python("-m", "pytest", *arguments), cwd=ROOT, stdout=said, stderr=said)

        def end() -> int:
            code = process.wait()
            said.seek(0)
            print(said.read(), flush=True)
            return code

        try:
            yield end
        finally:
            # Of one that is over already it takes no notice.
            process.terminate()
            process.wait()


def worse(*codes: int) -> int:
    """The exit code of several runs: a tier without tests is fine as long as another has some."""
    failures = [code for code in codes if code not in {0, NOTHING_COLLECTED}]
    if failures:
        return failures[0]
    return NOTHING_COLLECTED if all(code == NOTHING_COLLECTED for code in codes) else 0


def wants_browser(arguments: Sequence[str]) -> bool:
    """Not when paths are named that hold none of its tests."""
    paths = [argument for argument in arguments if (ROOT / argument.partition("::")[0]).exists()]
    return not paths or any(word in path for path in paths for word in ("console", "browser", "tests/up"))


def browser_is_there() -> bool:
    return bool(shutil.which("chromedriver") and any(map(shutil.which, ("chromium", "google-chrome"))))


def provide_browser() -> None:
    """Install a headless browser where we may; say loudly where we cannot. Its tests then skip, or fail in CI."""
    if browser_is_there():
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
    if not browser_is_there():
        print(
            "!! THE BROWSER TIER CANNOT RUN: install chromium and chromedriver "
            f"(on Debian, as root: apt install {' '.join(BROWSER_PACKAGES)})",
            file=sys.stderr,
            flush=True,
        )


def wants_kubernetes(arguments: Sequence[str]) -> bool:
    """Not when what is named, paths or marks, holds none of its tests."""
    chosen = " ".join(arguments)
    if chosen.startswith("-m") or " -m" in chosen:
        return "kube" in chosen and "not kube" not in chosen
    paths = [path for argument in arguments if (path := ROOT / argument.partition("::")[0]).exists()]
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("test_*.py"))]
    return not paths or any("mark.kube" in file.read_text() for file in files)


def kubernetes_in_use() -> str:
    """Which cluster the kube tests use, as a noun."""
    if named := os.environ.get(KUBECONFIG):
        return f"the cluster of {named} ({KUBECONFIG})"
    return "a devkube, the project's own one-node Kubernetes"


def provide_kubernetes() -> None:
    """Build a devkube and the apps' images, minutes the first time; say loudly where that cannot be.

    Its tests then skip, or fail in CI.
    """
    print(f"kube tests use {kubernetes_in_use()}", flush=True)
    if os.environ.get(KUBECONFIG):
        return
    # Where nothing but the packages is installed, there is no deploy/.
    from controlplane.standalone.images.build import build as build_image
    from controlplane.standalone.images.image import every_image
    from deploy.devkube import build
    from deploy.devkube.settings import Devkube, DevkubeError

    try:
        build.provide(Devkube.from_environment(), _tell)
        for image in every_image():
            build_image(image, _tell)
    except (DevkubeError, ExpectedError) as error:
        print(f"!! THE KUBE TIER CANNOT RUN: {error}", file=sys.stderr, flush=True)


def _tell(text: str) -> None:
    print(text, flush=True)
