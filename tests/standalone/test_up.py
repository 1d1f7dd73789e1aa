"""`up` with its real command and real processes."""

import contextlib
import http.client
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import pytest

from controlplane.standalone.web.ports import HOST
from controlplane.standalone.web.server import connections, raise_file_limit
from controlplane.system.processes import ProcessIdentity, identify
from tests.standalone.conftest import eventually

pytestmark = [pytest.mark.local, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]
SECONDS = 180.0
NAMES = ("supervisor", "postgres", "web", "worker")


@dataclass
class Run:
    """One running `up`, observed from another process."""

    process: "subprocess.Popen[str]"
    data: Path
    port: int
    output: Path

    @property
    def said(self) -> str:
        return self.output.read_text()

    @property
    def token(self) -> str:
        return (self.data / "admin-token").read_text().strip()

    def pid(self, name: str) -> int:
        return int((self.data / "run" / f"{name}.pid").read_text())

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Authorization": f"Bearer {self.token}"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def answers(self, path: str = "/api/v1/me") -> bool:
        try:
            return self.get(path)[0] == 200
        except (OSError, http.client.HTTPException):
            return False


def _start(data: Path, port: int) -> Run:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_URL", "PYTEST"))
    }
    environment["SLIPWAY_FETCH_RUNTIMES"] = "0"
    output = data.parent / "output"
    command = [
        sys.executable,
        "manage.py",
        "up",
        "--data-dir",
        str(data),
        "--port",
        str(port),
        "--no-browser",
    ]
    with output.open("w") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=file, text=True)
    run = Run(process, data, port, output)
    assert eventually(lambda: "Slipway runs at" in run.said or process.poll() is not None, SECONDS)
    assert process.poll() is None, run.said
    return run


def _stop(run: Run) -> None:
    if run.process.poll() is None:
        run.process.send_signal(signal.SIGINT)
    run.process.wait(60)


def _living(run: Run) -> list[ProcessIdentity]:
    return [found for name in NAMES if (found := identify(run.pid(name)))]


def _gone(processes: list[ProcessIdentity]) -> bool:
    return not any(process.is_alive for process in processes)


def _up(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "manage.py", "up", "--no-browser", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Installation:
    data: Path
    port: int
    current: Run
    first_said: str


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    folder = Path(tempfile.mkdtemp(prefix="slipway-up-", dir="/tmp"))
    folder.chmod(0o711)
    port = _free_port()
    first = _start(folder / "data", port)
    made = Installation(folder / "data", port, first, first.said)
    yield made
    _stop(made.current)
    shutil.rmtree(folder)


@pytest.fixture
def run(installation: Installation) -> Run:
    """The running service; started again when an earlier test has stopped it."""
    if installation.current.process.poll() is not None:
        installation.current = _start(installation.data, installation.port)
    return installation.current


def test_the_first_start_prints_the_address_and_the_files_with_secrets(
    installation: Installation, run: Run
) -> None:
    assert f"http://127.0.0.1:{run.port}" in installation.first_said
    for file in (run.data / "admin-password", run.data / "admin-token"):
        assert str(file) in installation.first_said
        # Secrets are printed only to a terminal, and the output here is a file.
        assert file.read_text().strip() not in installation.first_said
    assert json.loads(run.get("/api/v1/me")[1])["site_admin"] is True


def test_a_terminal_is_shown_the_password_and_the_token(installation: Installation) -> None:
    data = installation.data.parent / "terminal"
    ours, theirs = pty.openpty()
    words = [
        sys.executable,
        "manage.py",
        "up",
        "--no-browser",
        "--data-dir",
        str(data),
        "--port",
        str(_free_port()),
    ]
    environment = os.environ | {"SLIPWAY_FETCH_RUNTIMES": "0"}
    with subprocess.Popen(words, cwd=ROOT, env=environment, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while b"logs in" not in shown:
            shown += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
    os.close(ours)
    assert (data / "admin-password").read_bytes().strip() in shown
    assert (data / "admin-token").read_bytes().strip() in shown


def test_a_second_up_on_the_same_directory_names_the_first(run: Run) -> None:
    refused = _up("--data-dir", str(run.data))
    assert refused.returncode == 1
    assert re.search(rf"already runs on .*: process {run.process.pid} since 20.*:{run.port}", refused.stderr)


def test_a_second_up_on_the_same_port_is_refused(run: Run) -> None:
    refused = _up("--data-dir", str(run.data.parent / "other"), "--port", str(run.port))
    assert refused.returncode == 1
    assert refused.stderr == f"Port {run.port} is taken by another program: choose another with --port.\n"


@pytest.mark.parametrize(
    "path",
    [
        "/static/console/console.css",
        "/static/console/console.js",
        "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js",
        "/api/v1/docs",
        "/api/v1/docs?script=",
    ],
)
def test_pages_have_their_styles_and_scripts(run: Run, path: str) -> None:
    status, content = run.get(path)
    assert status == 200
    assert content.strip()


def test_probes_answer_while_every_connection_is_taken(run: Run) -> None:
    raise_file_limit()
    address = (run.data / "run" / "health").read_text().strip()
    with contextlib.ExitStack() as idle:
        for _ in range(connections()):
            idle.enter_context(socket.create_connection((HOST, run.port), timeout=SECONDS))
        for path in ("/healthz", "/readyz"):
            with urlopen(address + path, timeout=20) as answer:  # noqa: S310  http, as written there
                assert answer.status == 200
    assert eventually(run.answers, SECONDS)


@pytest.mark.parametrize("name", ["web", "worker", "postgres"])
def test_every_killed_process_is_restarted(run: Run, name: str) -> None:
    killed = run.pid(name)
    os.kill(killed, signal.SIGKILL)
    record = run.data / "run" / f"{name}.pid"
    assert eventually(
        lambda: record.exists() and record.read_text().strip() not in {"", str(killed)}, SECONDS
    )
    assert eventually(run.answers, SECONDS)
    assert eventually(lambda: run.answers("/readyz"), SECONDS)


def test_killing_all_at_once_leaves_no_leftover_for_the_next_start(
    installation: Installation, run: Run
) -> None:
    token, before = run.token, _living(run)
    for process in before:
        os.kill(process.pid, signal.SIGKILL)
    run.process.wait()
    installation.current = _start(installation.data, installation.port)
    assert len(before) == len(NAMES)
    assert _gone(before)
    assert installation.current.token == token
    assert token not in installation.current.said
    assert installation.current.answers()


def test_stopping_leaves_no_process_and_no_pid_file(run: Run) -> None:
    before = _living(run)
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(60) == 0, run.said
    assert _gone(before)
    assert not list((run.data / "run").glob("*.pid"))
    assert "Traceback" not in run.said


def test_killing_the_supervisor_ends_all_other_processes(run: Run) -> None:
    before = _living(run)
    os.kill(run.pid("supervisor"), signal.SIGKILL)
    run.process.wait()
    assert eventually(lambda: _gone(before), 60)
