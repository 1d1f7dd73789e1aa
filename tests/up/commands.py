"""Lists the management commands and runs those that do not end by themselves."""

import signal
import subprocess
from pathlib import Path

from tests.journeys.service import Slipway, wait_for
from tests.up.clone import PYTHON

# Command -> (its arguments, a part of its output).
ONE_SHOT = {
    "audit": (["verify"], "The chain is whole"),
    "doctor": ([], "PostgreSQL"),
    "images": (["list"], "jupyterlab"),
    "runtimes": (["list"], "spark"),
    "site": (["list"], "local"),
    # Commands of Django.
    "migrate": (["--check"], ""),
    "shell": (["-c", "from tenants.models import Tenant; print(Tenant.objects.get().name)"], "demo"),
}
# Commands that run until they are stopped.
SERVICES = ("worker", "observe")
# These tests use them, or they have their own tests.
ELSEWHERE = {"devkube", "lint", "test", "up"}
NEEDS_DATABASE = sorted(ONE_SHOT.keys() - {"doctor", "images", "runtimes"})


def serving(up: Slipway, command: str, output: Path) -> "subprocess.Popen[bytes]":
    words = [PYTHON, "manage.py", command, "--data-dir", str(up.folder)]
    with output.open("wb") as file:
        return subprocess.Popen(words, cwd=up.root, env=up.environment(), stdout=file, stderr=file)


def serve_and_end(up: Slipway, command: str, output: Path, said: str) -> None:
    with serving(up, command, output) as process:
        wait_for("start", lambda: said in output.read_text())
        wait_for("signal handler", lambda: _handles(process.pid, signal.SIGTERM))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, output.read_text()


def _handles(pid: int, number: signal.Signals) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (number - 1) & 1)
