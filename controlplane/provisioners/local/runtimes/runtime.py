"""What roles run on, on this machine: Python packages and Java, installed once per app version and shared.

A runtime without packages, without a last step of its app and without a Java of its own needs no installation: it is
the Python that runs Slipway.
"""

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from controlplane.provisioners.local.launcher import file_locks
from controlplane.provisioners.local.layout import Layout
from controlplane.provisioners.local.runtimes import assets, runtime_seal
from controlplane.provisioners.local.runtimes.install import PACKAGES_MARKER
from controlplane.provisioners.local.runtimes.java import PACKAGE, find_java
from controlplane.system import files
from templates import locks
from templates.schema import App, Runtime

logger = structlog.get_logger(__name__)

# The app's last step may leave this file in the runtime, with one line that says what could not be done.
NOTICE = ".notice"
_CODE = Path(__file__).resolve().parents[4]
# The environment variables that an installation receives: those it needs to run and to reach packages.
_PASSED = {"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER", "LOGNAME", "NETRC"}
_PASSED_PREFIXES = ("PIP_", "SSL_", "CURL_", "REQUESTS_", "XDG_")
_PASSED_SUFFIXES = ("_PROXY", "_proxy")


@dataclass(frozen=True, slots=True)
class LocalRuntime:
    """home, python, java: the values of {runtime.…}; java is None where the role needs none.

    request: what is to be installed into `home`, see `describe`; {} when the runtime needs no installation.
    """

    home: Path
    python: Path
    java: Path | None
    request: Mapping[str, Any]

    @property
    def path(self) -> str:
        """PATH of processes that run on it."""
        folders = [self.python.parent, *([self.java / "bin"] if self.java else [])]
        return ":".join([*map(str, folders), "/usr/local/bin", "/usr/bin", "/bin"])

    @property
    def installed(self) -> bool:
        return not self.request or Path(self.request["marker"]).exists()

    def check(self) -> None:
        """If the runtime was changed after its installation, have it installed again before the next node starts."""
        if not self.request or not self.installed:
            return
        if (lock := file_locks.acquire(str(self.beside("lock")))) is None:
            # It is being installed right now.
            return
        try:
            recorded = self.home / PACKAGES_MARKER
            if not recorded.exists() or recorded.read_text() != runtime_seal.seal(self.home):
                logger.warning("runtime_changed", runtime=self.home.name)
                recorded.unlink(missing_ok=True)
                Path(self.request["marker"]).unlink()
        finally:
            os.close(lock)

    @property
    def notice(self) -> str:
        """What the app's last step could not do, in one line; "" when it has done everything."""
        return files.read_text(self.home / NOTICE).strip()

    def beside(self, suffix: str) -> Path:
        """The path of a file about this runtime, next to its folder."""
        return self.home.parent / f"{self.home.name}.{suffix}"

    def wait_spec(self) -> dict[str, Any]:
        """What a launcher needs to know in order to wait for this runtime, see `RuntimeWait`."""
        if not self.request:
            return {}
        return {
            "marker": self.request["marker"],
            "lock": str(self.beside("lock")),
            "progress": str(self.beside("progress")),
            "failure": str(self.beside("failure")),
            "environment": str(self.beside("environment")),
            "install": [sys.executable, "-m", f"{__package__}.install", str(self.beside("request"))],
            "cwd": str(_CODE),
        }

    def write_request(self) -> None:
        """Write what the installer reads, unless the runtime is installed."""
        if self.installed:
            return
        files.make_folder(self.home.parent)
        files.write_json(self.beside("request"), dict(self.request))
        files.write_json(self.beside("environment"), install_environment())


def describe(layout: Layout, app: App, runtime: Runtime) -> LocalRuntime:
    """The runtime of these roles, whether or not it is installed. Reads the disk only to find Java.

    Its request: {"title", "packages": requirements, "locked": pip's lock file or "", "python": path, "python_version",
    "java": JAVA_HOME, "own" or "", "home": path, "marker": path, "prepare": path of the app's last step or ""}.
    """
    java = find_java(runtime.java) if runtime.java else None
    own_java = bool(runtime.java) and java is None
    packages = [*runtime.python, *([PACKAGE] if own_java else [])]
    if not packages and not runtime.prepare:
        return LocalRuntime(Path(sys.prefix), Path(sys.executable), java.home if java else None, {})
    locked = locks.text(app.name) if runtime.python else ""
    request: dict[str, Any] = {
        "title": f"{app.name} {app.version}",
        "packages": packages,
        # "" for an app that has no lock file.
        "locked": locked + locks.JAVA.read_text() if locked and own_java else locked,
        "python": os.path.realpath(sys.executable),
        "python_version": ".".join(map(str, sys.version_info[:2])),
        "java": "own" if own_java else str(java.home) if java else "",
    }
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    home = layout.runtimes / f"{app.name}-{app.version}-{digest[:12]}"
    request |= {"home": str(home), "marker": str(home / ".complete"), "prepare": ""}
    if runtime.prepare:
        # The last step may use any asset of the app, so it runs again when one has changed.
        app_folder = assets.folder(layout, app)
        request |= {
            "marker": str(home / f".complete-{app_folder.name}"),
            "prepare": str(app_folder / runtime.prepare),
        }
    java_home = home / "java" if own_java else java.home if java else None
    return LocalRuntime(home, home / "bin" / "python", java_home, request)


def install_environment() -> dict[str, str]:
    """The part of this process's environment that an installation receives."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED or name.startswith(_PASSED_PREFIXES) or name.endswith(_PASSED_SUFFIXES)
    }
