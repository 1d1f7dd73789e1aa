"""python -m controlplane.provisioners.local.install REQUEST: install one runtime, on its own in the background.

Whoever holds the lock beside the runtime's folder installs it. The folder is built where it will stay, for programs in
it know their own path, and counts only once its marker is there: what a crash leaves is wiped and built again.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from controlplane.provisioners.local import files, java, locks, processes, sealing
from controlplane.provisioners.local.children import die_with_parent
from controlplane.provisioners.local.detach import detach
from controlplane.provisioners.local.pip import pip_environment
from templates import locks as locks_of

PACKAGES_MARKER = ".packages"
Tell = Callable[[str], None]
MEGABYTE = 1_000_000
TELL_SECONDS = 0.5
# In the environment of all that an installation starts, so that the next one can clear away what a crash left.
MARK = "SLIPWAY_RUNTIME"
# The first pip that can say how far a download is.
PIP = "pip>=25"
# A package that comes as source is packed into a wheel and unpacked again: Spark's 450 MB take 21 s in place of 77.
UNPACKED_SOON = "--config-settings=--build-option=--compression=stored"
# Asked to resolve a list that is whole, pip would try the newest of what is wanted with an extra, which no hash fits.
EXACTLY = ("--no-deps", "--require-hashes")
_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_NAMED = re.compile(r"(?:Downloading|Using cached|Collecting|Building wheel for|Processing) +(\S+)")
_FILE = re.compile(
    r"(?:.*/)?(?P<name>[A-Za-z0-9_.]+?)-(?P<version>[0-9][A-Za-z0-9.!+]*?)(?:-.*|\.tar\.gz|\.zip)"
)


class InstallFailed(Exception):  # noqa: N818 - read as an outcome
    """In one line, for whoever waits."""


def install(request: Mapping[str, Any], environment: Mapping[str, str], tell: Tell) -> None:
    """Build the runtime. The caller holds its lock. Raises InstallFailed."""
    home = Path(request["home"])
    environment = {**environment, MARK: str(home)}
    if not processes.kill_marked(MARK, str(home)):
        raise InstallFailed("an earlier installation does not end")
    try:
        if not (home / PACKAGES_MARKER).exists():
            tell(f"preparing {request['title']}")
            _build(home, request, environment, tell)
            files.write(str(home / PACKAGES_MARKER), sealing.protect(home).encode(), durable=True)
        if request["prepare"]:
            tell(f"finishing {request['title']}")
            prepare(home, request, environment)
        files.write(request["marker"], b"", durable=True)
    except OSError as error:
        raise InstallFailed(f"{error.strerror or error}: {error.filename or home}") from error


def _build(home: Path, request: Mapping[str, Any], environment: Mapping[str, str], tell: Tell) -> None:
    if home.exists():
        sealing.unprotect(home)
        shutil.rmtree(home)
    _run([request["python"], "-m", "venv", "--without-pip", str(home)], environment, tell)
    if request["packages"]:
        _install_packages(home, request, environment, tell)
        # What users install goes to their cluster's own packages, whose pip comes first in their PATH.
        for program in (home / "bin").glob("pip*"):
            program.unlink()
    if request["java"] == "own":
        java.install_wrapper(_site_packages(home), home / "java")


def _install_packages(
    home: Path, request: Mapping[str, Any], environment: Mapping[str, str], tell: Tell
) -> None:
    python, packages = str(home / "bin" / "python"), request["packages"]
    try:
        environment = pip_environment(sys.executable, environment)
    except subprocess.CalledProcessError as error:
        raise InstallFailed(error.stderr.strip()[-500:]) from error
    options = ["--disable-pip-version-check", "--no-input", "--no-warn-script-location"]
    first = [sys.executable, "-m", "pip", "--python", python, "install", *options, "--progress-bar", "off"]
    then = [python, "-m", "pip", "install", *options, UNPACKED_SOON, "--progress-bar", "raw"]
    if not request["locked"]:
        _run([*first, PIP], environment, lambda text: None)
        _run([*then, "--", *packages], environment, tell, read=Progress())
        return
    every, pip = home / "packages.lock", home / "pip.lock"
    every.write_text(request["locked"])
    pip.write_text(locks_of.entry(request["locked"], "pip"))
    _run([*first, *EXACTLY, "--requirement", str(pip)], environment, lambda text: None)
    _run([*then, *EXACTLY, "--requirement", str(every)], environment, tell, read=Progress())
    # The lists are whole: nothing of what the app asks for, and nothing that a package needs, is missing.
    _run([*then, "--no-index", "--", *packages], environment, lambda text: None)
    _run([python, "-m", "pip", "check"], environment, lambda text: None)


def prepare(home: Path, request: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    """Run the app's own last step, as its nodes would be run."""
    java_home = str(home / "java") if request["java"] == "own" else request["java"]
    path = ":".join(
        [str(home / "bin"), *([f"{java_home}/bin"] if java_home else []), environment.get("PATH", "")]
    )
    own = {"RUNTIME_HOME": str(home), "PATH": path} | ({"JAVA_HOME": java_home} if java_home else {})
    # All packages are there: the step calls this machine alone, which no proxy can reach.
    direct = {name: value for name, value in environment.items() if not name.lower().endswith("_proxy")}
    _run([request["prepare"]], {**direct, **own}, lambda text: None)


def _site_packages(home: Path) -> Path:
    return next(home.glob("lib/python3*/site-packages"))


class Progress:
    """pip's lines as one short text: what it works on and how much of it has come."""

    def __init__(self) -> None:
        self.subject = ""

    def __call__(self, line: str) -> str:
        """The text after this line, or "" when it changes nothing."""
        if found := _PROGRESS.search(line):
            done, whole = (int(number) // MEGABYTE for number in found.groups())
            return f"installing {self.subject}: {done} of {whole} MB" if whole else ""
        if line.startswith("Installing collected packages"):
            return "installing the packages that have come"
        if found := _NAMED.search(line):
            self.subject = _subject(found[1])
            built = "building" if "Building" in line else "installing"
            return f"{built} {self.subject}"
        return ""


def _subject(told: str) -> str:
    """`pyspark 4.3.0` of a file's name; else as it was told."""
    found = _FILE.fullmatch(told)
    return f"{found['name']} {found['version']}" if found else told.rpartition("/")[2]


def _run(
    argv: list[str], environment: Mapping[str, str], tell: Tell, *, read: Callable[[str], str] | None = None
) -> None:
    """Raises InstallFailed with the last thing it said."""
    last = ""
    told_at = 0.0
    with subprocess.Popen(
        argv,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        preexec_fn=die_with_parent,
    ) as process:
        try:
            for line in process.stdout or ():
                text = read(line) if read else ""
                if text and time.monotonic() - told_at > TELL_SECONDS:
                    told_at = time.monotonic()
                    tell(text)
                if line.strip() and not text and (line.startswith("ERROR") or not last.startswith("ERROR")):
                    last = line.strip()
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise InstallFailed(last[:500] or f"{os.path.basename(argv[0])} ended with {process.returncode}")


def install_locked(request_path: str, tell: Tell) -> None:
    """Install, and leave the reason beside the runtime if that fails. The caller holds the lock."""
    stem = request_path.removesuffix(".request")
    try:
        request = files.read_json(request_path)
        if Path(request["marker"]).exists():
            return
        environment = json.loads(files.read_text(f"{stem}.environment"))
        install(request, environment, tell)
    except (InstallFailed, ValueError, OSError) as error:
        files.write_json(f"{stem}.failure", {"at": time.time(), "message": str(error)})
        raise
    Path(f"{stem}.failure").unlink(missing_ok=True)


def main(request_path: str) -> int:
    stem = request_path.removesuffix(".request")
    if locks.take(f"{stem}.lock") is None:
        return 0
    detach()
    try:
        install_locked(request_path, lambda text: files.write(f"{stem}.progress", text.encode()))
    except InstallFailed:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
