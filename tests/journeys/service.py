"""Runs Slipway as its users do: started by `manage.py up`, used over HTTP, and killed with SIGKILL."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

from controlplane.standalone.installation.environment import MARK

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")


def wait_for(what: str, question: Callable[[], T], *, seconds: float = 60, every: float = 0.1) -> T:
    """Repeat the question until its answer is true, and return that. Fails after `seconds`."""
    deadline = time.monotonic() + seconds
    answer = question()
    while not answer:
        assert time.monotonic() < deadline, f"no {what} after {seconds} s; last answer: {answer!r}"
        time.sleep(every)
        answer = question()
    return answer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Slipway:
    """One installation in a folder of its own, with the tenant demo and its admin's token."""

    PARTS = ("web", "worker", "postgres", "supervisor")

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        *,
        root: Path = ROOT,
        python: str = sys.executable,
        umask: int = -1,
        output: Path | None = None,
    ) -> None:
        """environment: added to that of the tests. root: the checkout. python: the interpreter of manage.py."""
        self.folder, self.port = folder, free_port()
        self.root = root
        self._given = environment or {}
        self._python, self._umask = python, umask
        self._process: subprocess.Popen[bytes] | None = None
        self._output = output or folder.with_suffix(".out")

    def up(self, *, seconds: float = 90) -> "Slipway":
        where = ["--data-dir", str(self.folder), "--port", str(self.port)]
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [self._python, "manage.py", "up", *where, "--no-browser"],
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environment(),
                start_new_session=True,
                umask=self._umask,
            )
        wait_for("answer", self.is_ready, seconds=seconds)
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def said(self) -> str:
        """Everything that `up` printed."""
        return self._output.read_text()

    def down(self) -> None:
        """Stop it as Ctrl-C does; clusters keep running."""
        assert self._process
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        self._process.wait(60)

    def leave(self) -> None:
        """Delete all clusters of demo, then stop."""
        if self._process and self._process.poll() is None:
            if self.is_ready():
                for cluster in self.get("/tenants/demo/clusters")["items"]:
                    self.delete(cluster["name"])
            self.down()

    def ended(self) -> None:
        """Wait for the end of `up`, whose supervisor was killed."""
        assert self._process
        self._process.wait(60)

    def kill(self, *parts: str) -> None:
        for part in parts:
            os.kill(self.pid(part), signal.SIGKILL)

    @contextmanager
    def another_worker(self) -> Iterator[None]:
        """Run a second worker, as on another machine."""
        # Without the mark, the supervisor does not take this process for its child.
        environment = {key: value for key, value in self.database_environment().items() if key != MARK}
        words = [self._python, "manage.py", "worker"]
        with self._output.open("ab") as output:
            process = subprocess.Popen(words, cwd=self.root, env=environment, stdout=output, stderr=output)
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)

    @contextmanager
    def paused(self, part: str) -> Iterator[None]:
        """Suspend a process of Slipway with SIGSTOP."""
        pid = self.pid(part)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def pid(self, part: str) -> int:
        return int((self.folder / "run" / f"{part}.pid").read_text())

    def processes(self) -> list[str]:
        """The command lines of the processes of this installation, nodes excluded."""
        # Each of them has the data directory in its environment.
        mine = str(self.folder).encode()
        environments = ((entry, read_proc(entry, "environ")) for entry in Path("/proc").glob("[0-9]*"))
        entries = [
            entry
            for entry, found in environments
            if mine in found and b"\0SLIPWAY_NODE=" not in b"\0" + found
        ]
        lines = [
            read_proc(entry, "cmdline").replace(b"\0", b" ").decode(errors="replace") for entry in entries
        ]
        return [line for line in lines if line]

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        token = (self.folder / "admin-token").read_text().strip()
        return httpx.request(
            method,
            f"http://127.0.0.1:{self.port}/api/v1{path}",
            json=body,
            headers={"Authorization": f"Bearer {token}", **headers},
            timeout=70,
        )

    def get(self, path: str) -> Any:
        response = self.call("GET", path)
        assert response.status_code == 200, response.text
        return response.json()

    def post(self, path: str, body: Any = None) -> Any:
        response = self.call("POST", path, body if body is not None else {})
        assert response.status_code < 300, response.text
        return response.json()

    def launch(self, name: str, template: str, **more: Any) -> dict[str, Any]:
        """Launch in demo and wait until it is ready."""
        self.post("/tenants/demo/clusters", {"name": name, "template": template, "site": "local", **more})
        return self.wait(name, "ready", seconds=900)

    def cluster(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/tenants/demo/clusters/{name}")
        return found

    def wait(self, name: str, phase: str, *, seconds: float = 120) -> dict[str, Any]:
        """Wait until the cluster is in this phase and no operation is in progress."""
        try:
            wait_for(f"{phase} cluster", lambda: self._is(name, phase), seconds=seconds, every=0.2)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.cluster(name)}; {self.tell(name)}") from None
        return self.cluster(name)

    def _is(self, name: str, phase: str) -> bool:
        found = self.cluster(name)
        assert found["phase"] != "failed" or phase == "failed", f"{found}; {self.tell(name)}"
        settled = found["generation"] == found["observed_generation"]
        return bool(
            found["phase"] == phase and settled and found["operation"]["state"] not in {"pending", "running"}
        )

    def tell(self, name: str) -> str:
        """The ends of the logs, for the message of a failed assertion."""
        parts = [self.folder / "logs" / f"{part}.log" for part in ("worker", "web")]
        return "\n".join(part.read_text()[-1500:] for part in parts if part.exists())

    def delete(self, name: str) -> None:
        found = self.cluster(name)
        assert self.call("DELETE", f"/tenants/demo/clusters/{name}").status_code == 202
        path = f"/tenants/demo/clusters/{found['id']}"
        wait_for("tombstone", lambda: self.get(path)["phase"] == "deleted", seconds=60)

    def manage(self, *command: str) -> str:
        """The output of a management command, run while the service runs."""
        done = self.command(*command, "--data-dir", str(self.folder))
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def command(self, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run a management command in the same checkout. environment: added to that of the tests."""
        return subprocess.run(
            [self._python, "manage.py", *words],
            cwd=self.root,
            env=self.environment() | environment,
            umask=self._umask,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def run(self, *words: str) -> str:
        """The output of a program that runs in our environment."""
        done = subprocess.run(
            words, env=self.environment(), capture_output=True, text=True, check=False, timeout=600
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def database_environment(self) -> dict[str, str]:
        """The environment of the worker, which has the address of the database."""
        pid = (self.folder / "run" / "worker.pid").read_text().strip()
        pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
        return dict(pair.split("=", 1) for pair in pairs if "=" in pair)

    def is_ready(self) -> bool:
        assert self._process
        assert self._process.poll() is None, self._output.read_text()
        try:
            url = f"http://127.0.0.1:{self.port}/readyz"
            return httpx.get(url, timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def environment(self) -> dict[str, str]:
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("DATABASE_", "DJANGO_", "PYTEST", "KUBECONFIG"))
        }
        cache = Path.home() / ".cache" / "slipway" / "runtimes"
        return {"SLIPWAY_RUNTIME_CACHE": str(cache), **kept, **self._given}


def read_proc(process: Path, file: str) -> bytes:
    """The content of a file of a process in /proc; empty when the process has ended."""
    try:
        return (process / file).read_bytes()
    except OSError:
        return b""


def processes_of(cluster_id: str) -> Counter[str]:
    """The number of processes of each attempt at a node of the cluster, zombies excluded."""
    found: Counter[str] = Counter()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        for pair in environment:
            if state != "Z" and pair.startswith(f"SLIPWAY_NODE={cluster_id}/".encode()):
                found[pair.decode().split("=", 1)[1]] += 1
    return found
