"""Slipway as `up` runs it, without worker and browser: embedded PostgreSQL, one web process, the fake site."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane.standalone import up
from controlplane.standalone.database.prepare import prepare_postgres
from controlplane.standalone.installation.datadir import open_data_dir
from controlplane.standalone.installation.environment import ROOT, python, service_environment
from controlplane.standalone.installation.keys import key_files
from controlplane.standalone.installation.owner import database_owner
from controlplane.standalone.web.ports import HOST
from controlplane.standalone.web.server import web_command

START_SECONDS = 120


@dataclass
class ServiceUnderTest:
    port: int
    token: str
    environment: dict[str, str]
    pids: dict[str, int]

    @property
    def database_url(self) -> str:
        return self.environment["DATABASE_URL"]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request and return the JSON of the answer. Raises RuntimeError for a status of 400 or more."""
        return call(self.port, self.token, method, path, body)

    def run(self, script: str, *arguments: str) -> None:
        """Run a script of this folder in the environment of the service."""
        command = python(str(Path(__file__).parent / script), *arguments)
        subprocess.run(command, cwd=ROOT, env=self.environment, check=True)


def call(port: int, token: str, method: str, path: str, body: Any = None) -> Any:
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status >= 400:
        raise RuntimeError(f"{method} {path}: {answer.status} {content[:500]!r}")
    return json.loads(content) if content else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yields a folder that PostgreSQL's user can enter."""
    folder = Path(tempfile.mkdtemp(prefix="slipway-bench-", dir="/tmp"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def service() -> Iterator[ServiceUnderTest]:
    """Yields a running service with the durable settings of `up`. Its data is deleted at the end."""
    with temporary_folder() as folder:
        data = open_data_dir(folder / "data")
        keys = key_files(data)
        server = prepare_postgres(folder / "postgres", owner=database_owner())
        environment = service_environment(data, keys=keys, database_url=server.url) | {
            "SLIPWAY_FAKE_SITE": "1"
        }
        log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        postgres = server.command.start(output=log)
        web = None
        try:
            await_true(lambda: server.is_ready(postgres.pid), "PostgreSQL does not start")
            run = {"cwd": ROOT, "env": environment, "stdout": log, "stderr": log}
            subprocess.run(python("-m", "controlplane.standalone.setup.upgrade"), check=True, **run)  # type: ignore[call-overload]
            subprocess.run(python(str(Path(__file__).parent / "seed.py")), check=True, **run)  # type: ignore[call-overload]
            port = free_port()
            web = subprocess.Popen(web_command(port), **run)  # type: ignore[call-overload]
            await_true(lambda: up.web_answers(port), "web does not start")
            yield ServiceUnderTest(
                port,
                data.admin_token.read_text().strip(),
                environment,
                {"web": web.pid, "postgres": postgres.pid},
            )
        except BaseException:
            sys.stderr.write((folder / "log").read_text()[-4000:])
            raise
        finally:
            if web is not None:
                end(web, signal.SIGTERM)
            end(postgres, signal.SIGINT)
            os.close(log)


def end(process: subprocess.Popen[Any], number: signal.Signals) -> None:
    process.send_signal(number)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def await_true(condition: Any, otherwise: str, seconds: float = START_SECONDS, every: float = 0.02) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(otherwise)
        time.sleep(every)
