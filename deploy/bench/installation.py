"""An installation of `up` whose first start is over and whose apps' packages are installed."""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from service import await_true, call, end, free_port, temporary_folder

from controlplane.standalone import up
from controlplane.standalone.installation.environment import ROOT, python
from controlplane.standalone.web.ports import HOST

# Hundreds of MB of packages. Measurements share them, and install those that are missing.
RUNTIMES = Path(os.environ.get("SLIPWAY_RUNTIME_CACHE") or "~/.cache/slipway/runtimes").expanduser()
TENANT = "/api/v1/tenants/demo"


@dataclass
class RunningInstallation:
    process: subprocess.Popen[bytes]
    data: Path
    port: int
    token: str

    def call(self, method: str, path: str, body: Any = None) -> Any:
        return call(self.port, self.token, method, path, body)

    def finish(self, operation: dict[str, Any]) -> None:
        """Wait for an operation of the tenant to end; raises RuntimeError unless it succeeds."""
        while operation["state"] in {"pending", "running"}:
            operation = self.call("GET", f"{TENANT}/operations/{operation['id']}?wait=30")
        if operation["state"] != "succeeded":
            raise RuntimeError(f"{operation}")

    def launch(self, name: str, template: str) -> dict[str, Any]:
        """Launch a cluster and wait until the operation succeeds. Returns the cluster."""
        cluster = self.call(
            "POST", f"{TENANT}/clusters", {"name": name, "template": template, "site": "local"}
        )
        self.finish(cluster["operation"])
        found: dict[str, Any] = self.call("GET", f"{TENANT}/clusters/{name}")
        return found

    def delete(self, name: str) -> None:
        self.finish(self.call("DELETE", f"{TENANT}/clusters/{name}", {"force": True})["operation"])


@dataclass
class Installation:
    data: Path
    log: Path

    def start(self, port: int) -> subprocess.Popen[bytes]:
        environment = os.environ | {"SLIPWAY_RUNTIME_CACHE": str(RUNTIMES), "SLIPWAY_FETCH_RUNTIMES": "0"}
        environment.pop("DATABASE_URL", None)
        command = python("manage.py", "up", "--data-dir", str(self.data), "--port", str(port), "--no-browser")
        with self.log.open("ab") as log:
            return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)

    @contextmanager
    def running(self) -> Iterator[RunningInstallation]:
        """Run `up`. Yields when the worker has found the local site ready."""
        port = free_port()
        process = self.start(port)
        try:
            await_true(lambda: up.web_answers(port), "up does not answer")
            token = (self.data / "admin-token").read_text().strip()
            await_true(lambda: _site_is_ready(port, token), "the local site does not get ready")
            yield RunningInstallation(process, self.data, port, token)
        except BaseException:
            sys.stderr.write(self.log.read_text()[-3000:])
            raise
        finally:
            end(process, signal.SIGINT)


@contextmanager
def installed(*, runtimes: bool = True) -> Iterator[Installation]:
    """Yields an installation after its first `up`. The caller deletes all its clusters."""
    with temporary_folder() as folder:
        installation = Installation(folder / "data", folder / "log")
        if runtimes:
            environment = os.environ | {
                "SLIPWAY_RUNTIME_CACHE": str(RUNTIMES), "SLIPWAY_DATA_DIR": str(folder / "unused"),
            }  # fmt: skip
            subprocess.run(python("manage.py", "runtimes", "fetch"), cwd=ROOT, env=environment, check=True)
        with installation.running():
            pass
        yield installation


def _site_is_ready(port: int, token: str) -> bool:
    sites = call(port, token, "GET", "/api/v1/sites")["items"]
    return any(site["name"] == "local" and site["ready"] for site in sites)


def fetch(host: str, port: int, path: str, timeout: float = 5, token: str = "") -> tuple[int, bytes]:
    """Returns status and body; (0, b"") without an answer."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def seconds_until(condition: Any, otherwise: str, began: float) -> float:
    """Returns the seconds from `began` (time.perf_counter) until the condition holds. It is checked every 20 ms."""
    await_true(condition, otherwise)
    return time.perf_counter() - began


def seconds_of(step: Mapping[str, Any]) -> float:
    """Returns the duration of a step of an operation."""
    began, ended = (datetime.fromisoformat(step[at]) for at in ("started_at", "ended_at"))
    return (ended - began).total_seconds()


__all__ = [
    "HOST",
    "TENANT",
    "Installation",
    "RunningInstallation",
    "fetch",
    "installed",
    "seconds_of",
    "seconds_until",
]
