"""python -m controlplane.provisioners.local.runtimes.install REQUEST: install one runtime, in the background.

The process that holds the lock beside the runtime's folder installs it. The folder is built at its final path, because
programs in it contain that path, and it is complete only once it holds its marker file. What a killed installation
has left is deleted and built again.
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

from controlplane.provisioners.local.launcher import file_locks
from controlplane.provisioners.local.launcher.children import die_with_parent
from controlplane.provisioners.local.runtimes import java, runtime_seal
from controlplane.provisioners.local.runtimes.pip_settings import pip_environment
from controlplane.system import files, processes
from templates import locks

# In the runtime's folder once its packages are complete; its content is their seal.
PACKAGES_MARKER = ".packages"
# Receives the progress, one short line each time.
Report = Callable[[str], None]
MEGABYTE = 1_000_000
REPORT_SECONDS = 0.5
MAX_ERROR_LENGTH = 500
# In the environment of every process of an installation, so that the next one can kill those of a killed one.
INSTALLATION_VARIABLE = "SLIPWAY_RUNTIME"
# The first pip that reports the progress of downloads.
PIP = "pip>=25"
# A package that comes as source is packed into a wheel, which is unpacked at once. Without compression this takes 21 s
# instead of 77 s for the 450 MB of Spark.
NO_COMPRESSION = "--config-settings=--build-option=--compression=stored"
# The list is complete. If pip resolved it, it would try newer versions of extras, for which there are no hashes.
LOCKED = ("--no-deps", "--require-hashes")
_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_NAMED = re.compile(r"(?:Downloading|Using cached|Collecting|Building wheel for|Processing) +(\S+)")
_FILE = re.compile(
    r"(?:.*/)?(?P<name>[A-Za-z0-9_.]+?)-(?P<version>[0-9][A-Za-z0-9.!+]*?)(?:-.*|\.tar\.gz|\.zip)"
)


class InstallFailed(Exception):  # noqa: N818 - read as an outcome
    """Its text is one line for users."""


def install(request: Mapping[str, Any], environment: Mapping[str, str], report: Report) -> None:
    """Build the runtime. request: see `runtime.describe`. The caller holds its lock. Raises InstallFailed."""
    home = Path(request["home"])
    environment = {**environment, INSTALLATION_VARIABLE: str(home)}
    if not processes.kill_with_variable(INSTALLATION_VARIABLE, str(home)):
        raise InstallFailed("an earlier installation does not end")
    try:
        if not (home / PACKAGES_MARKER).exists():
            report(f"preparing {request['title']}")
            _build(home, request, environment, report)
            files.write(home / PACKAGES_MARKER, runtime_seal.protect(home).encode(), durable=True)
        if request["prepare"]:
            report(f"finishing {request['title']}")
            prepare(home, request, environment)
        files.write(request["marker"], b"", durable=True)
    except OSError as error:
        raise InstallFailed(f"{error.strerror or error}: {error.filename or home}") from error


def _build(home: Path, request: Mapping[str, Any], environment: Mapping[str, str], report: Report) -> None:
    if home.exists():
        runtime_seal.unprotect(home)
        shutil.rmtree(home)
    _run([request["python"], "-m", "venv", "--without-pip", str(home)], environment)
    if request["packages"]:
        _install_packages(home, request, environment, report)
        # Users must not find a pip that installs here: their cluster's own packages have one.
        for program in (home / "bin").glob("pip*"):
            program.unlink()
    if request["java"] == "own":
        java.install_wrapper(next(home.glob("lib/python3*/site-packages")), home / "java")


def _install_packages(
    home: Path, request: Mapping[str, Any], environment: Mapping[str, str], report: Report
) -> None:
    """First a recent pip with Slipway's own pip, then the packages with that one."""
    python, packages = str(home / "bin" / "python"), request["packages"]
    try:
        environment = pip_environment(sys.executable, environment)
    except subprocess.CalledProcessError as error:
        raise InstallFailed(error.stderr.strip()[-MAX_ERROR_LENGTH:]) from error
    options = ["--disable-pip-version-check", "--no-input", "--no-warn-script-location"]
    first = [sys.executable, "-m", "pip", "--python", python, "install", *options, "--progress-bar", "off"]
    then = [python, "-m", "pip", "install", *options, NO_COMPRESSION, "--progress-bar", "raw"]
    if not request["locked"]:
        _run([*first, PIP], environment)
        _run([*then, "--", *packages], environment, report, read=PipProgress())
        return
    packages_lock, pip_lock = home / "packages.lock", home / "pip.lock"
    packages_lock.write_text(request["locked"])
    pip_lock.write_text(locks.entry(request["locked"], "pip"))
    _run([*first, *LOCKED, "--requirement", str(pip_lock)], environment)
    _run([*then, *LOCKED, "--requirement", str(packages_lock)], environment, report, read=PipProgress())
    # Both fail when the list lacks a package that the app requests or that another package needs.
    _run([*then, "--no-index", "--", *packages], environment)
    _run([python, "-m", "pip", "check"], environment)


def prepare(home: Path, request: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    """Run the app's own last step in the runtime. Raises InstallFailed."""
    java_home = str(home / "java") if request["java"] == "own" else request["java"]
    path = ":".join(
        [str(home / "bin"), *([f"{java_home}/bin"] if java_home else []), environment.get("PATH", "")]
    )
    own = {"RUNTIME_HOME": str(home), "PATH": path} | ({"JAVA_HOME": java_home} if java_home else {})
    # All packages are installed: the step only talks to this machine, and a proxy would break that.
    direct = {name: value for name, value in environment.items() if not name.lower().endswith("_proxy")}
    _run([request["prepare"]], {**direct, **own})


class PipProgress:
    """Turns the lines that pip prints into short progress texts."""

    def __init__(self) -> None:
        # The package that pip works on.
        self.subject = ""

    def __call__(self, line: str) -> str:
        """Returns the new text, or "" when this line does not change it."""
        if found := _PROGRESS.search(line):
            done, total = (int(number) // MEGABYTE for number in found.groups())
            return f"installing {self.subject}: {done} of {total} MB" if total else ""
        if line.startswith("Installing collected packages"):
            return "installing the downloaded packages"
        if found := _NAMED.search(line):
            self.subject = _package_and_version(found[1])
            verb = "building" if "Building" in line else "installing"
            return f"{verb} {self.subject}"
        return ""


def _package_and_version(name: str) -> str:
    """`pyspark 4.3.0` for the name or path of a distribution file; any other name stays as it is."""
    found = _FILE.fullmatch(name)
    return f"{found['name']} {found['version']}" if found else name.rpartition("/")[2]


def _run(
    argv: list[str],
    environment: Mapping[str, str],
    report: Report | None = None,
    *,
    read: Callable[[str], str] | None = None,
) -> None:
    """Run a command and report what `read` makes of its lines.

    Raises InstallFailed with the last line that it printed, or the last that begins with ERROR.
    """
    last = ""
    reported_at = 0.0
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
                if report and text and time.monotonic() - reported_at > REPORT_SECONDS:
                    reported_at = time.monotonic()
                    report(text)
                if line.strip() and not text and (line.startswith("ERROR") or not last.startswith("ERROR")):
                    last = line.strip()
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        message = last[:MAX_ERROR_LENGTH]
        raise InstallFailed(message or f"{os.path.basename(argv[0])} ended with {process.returncode}")


def install_locked(request_path: str, report: Report) -> None:
    """Install, and write beside the runtime why it failed, if it does. The caller holds the lock.

    Raises InstallFailed, or ValueError or OSError when the request cannot be read.
    """
    stem = request_path.removesuffix(".request")
    try:
        request = files.read_json(request_path)
        if Path(request["marker"]).exists():
            return
        environment = json.loads(files.read_text(f"{stem}.environment"))
        install(request, environment, report)
    except (InstallFailed, ValueError, OSError) as error:
        files.write_json(f"{stem}.failure", {"at": time.time(), "message": str(error)})
        raise
    Path(f"{stem}.failure").unlink(missing_ok=True)


def main(request_path: str) -> int:
    stem = request_path.removesuffix(".request")
    if file_locks.acquire(f"{stem}.lock") is None:
        # Another process installs this runtime.
        return 0
    # The launcher that started this waits for its child only. The fork keeps the lock, and init adopts it.
    if os.fork():
        os._exit(0)
    os.setsid()
    try:
        install_locked(request_path, lambda text: files.write(f"{stem}.progress", text.encode()))
    except InstallFailed:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
