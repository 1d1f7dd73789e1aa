"""Checks what this machine offers: Python, Java, the apps' runtimes, disk space, the port."""

import platform
import shutil
import sys
from pathlib import Path

from controlplane.provisioners.local.layout import Layout
from controlplane.provisioners.local.runtimes.install import PACKAGES_MARKER
from controlplane.provisioners.local.runtimes.java import find_java
from controlplane.provisioners.local.runtimes.runtime import NOTICE
from controlplane.standalone.doctor.check_result import CheckResult
from controlplane.standalone.installation.errors import ExpectedError
from controlplane.standalone.supervise.lock import LockOwner
from controlplane.standalone.web.ports import DEFAULT_PORT, HOST, port_check
from controlplane.system.files import read_text

OLDEST_PYTHON = (3, 11)
OLDEST_JAVA = 17
MIB = 2**20
# The apps' packages and Java, with some room for clusters.
COMFORTABLE_MIB = 3000
LEAST_MIB = 200


def check_python() -> CheckResult:
    found = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info < OLDEST_PYTHON:
        return CheckResult("Python", "missing", found, "install Python 3.11 or newer")
    return CheckResult("Python", "ok", found)


def check_java() -> CheckResult:
    java = find_java(OLDEST_JAVA)
    if java is None:
        advice = "nothing: one comes with the packages of Spark (or install Java 17 and set JAVA_HOME)"
        return CheckResult("Java", "missing", f"none of {OLDEST_JAVA} or newer", advice, needed=False)
    return CheckResult("Java", "ok", f"{java.version} ({java.home})")


def check_runtimes(data_dir: Path) -> CheckResult:
    """Counts the installed runtimes and lists the notices that their prepare steps left."""
    installed = sorted(Layout(data_dir / "sites" / "local").runtimes.glob(f"*/{PACKAGES_MARKER}"))
    notices = [
        f"{marker.parent.name}: {notice}"
        for marker in installed
        if (notice := read_text(str(marker.with_name(NOTICE))))
    ]
    if notices:
        advice = "wait for it, or see why and run: python3 manage.py runtimes fetch"
        return CheckResult("runtimes", "missing", "; ".join(notices), advice, needed=False)
    return CheckResult("runtimes", "ok", f"{len(installed)} installed")


def check_disk(data_dir: Path) -> CheckResult:
    folder = next(each for each in (data_dir, *data_dir.absolute().parents) if each.exists())
    free = shutil.disk_usage(folder).free // MIB
    found = f"{free} MiB free in {folder}"
    if free < LEAST_MIB:
        return CheckResult(
            "disk", "missing", found, f"free some space: Slipway needs at least {LEAST_MIB} MiB"
        )
    if free < COMFORTABLE_MIB:
        advice = f"free some space: the packages of the apps need {COMFORTABLE_MIB} MiB"
        return CheckResult("disk", "missing", found, advice, needed=False)
    return CheckResult("disk", "ok", found)


def check_port(port: int | None, running: LockOwner | None) -> CheckResult:
    """port: None means the port of the running installation, or the default one."""
    if running and port in {None, running.port}:
        return CheckResult("port", "ok", f"{running.port}, where Slipway runs now")
    wanted = port or DEFAULT_PORT
    try:
        port_check(wanted)
    except ExpectedError as error:
        return CheckResult("port", "missing", f"{wanted} is not free", str(error))
    return CheckResult("port", "ok", f"{wanted} is free on {HOST}")
