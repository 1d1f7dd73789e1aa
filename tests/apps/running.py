"""Runs an app of the catalogue with real processes, on a new local site."""

import json
import os
import secrets
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from controlplane.provisioners.base import ClusterRef, Desired, DesiredNode, DrainReport, NodeRef, NodeState
from controlplane.provisioners.local.layout import NodeFolder
from templates import catalog
from templates.schema import App, Group, Launch
from tests.journeys.service import read_proc
from tests.provisioners.launching import until
from tests.provisioners.machine import Machine, machine

# The first start on a machine installs the runtime.
INSTALL_SECONDS = 1500.0
CACHE = Path.home() / ".cache" / "slipway" / "runtimes"


class Running:
    """One cluster. counts: role name -> number of nodes; none for roles that are not named."""

    def __init__(
        self, here: Machine, app: App, counts: Mapping[str, int], settings: Mapping[str, Any]
    ) -> None:
        self.here, self.site = here, here.site
        chosen = {name: schema["default"] for name, schema in app.settings.items()} | dict(settings)
        groups = tuple(Group(name, name, count, app.role(name).default) for name, count in counts.items())
        nodes = tuple(
            DesiredNode(f"{group.name}-{index}", 1, group.name, group.role, index, group.each)
            for group in groups
            for index in range(group.count)
        )
        self.keys = {name: secrets.token_hex(32) for name in app.secrets}
        of = ClusterRef(uuid4(), "etl-1", uuid4(), "acme")
        self.wish = Desired(of, 1, 1, Launch(app, groups, chosen), nodes, secrets=self.keys)

    def start(self) -> "Running":
        self.site.ensure_tenant(self.wish.cluster.tenant_id, "acme", {})
        self.site.apply(self.wish)
        until(self._all_ready, INSTALL_SECONDS)
        return self

    def _all_ready(self) -> bool:
        nodes = self.site.look(self.wish.cluster, ()).nodes
        broken = [node for node in nodes if node.state == NodeState.ENDED or node.reason == "RUNTIME_FAILED"]
        assert not broken, [(node.name, node.message, self.log(node.name)) for node in broken]
        return all(node.state == NodeState.READY for node in nodes)

    def restart(self) -> None:
        """Stop the cluster, and start it again in a new run with new secrets."""
        self.site.end_run(self.wish.cluster, self.wish.run)
        until(lambda: not self.site.look(self.wish.cluster, ()).nodes, 60)
        self.keys = {name: secrets.token_hex(32) for name in self.keys}
        self.wish = replace(self.wish, run=self.wish.run + 1, secrets=self.keys)
        self.start()

    def rotate(self, name: str) -> None:
        """Replace the secret of this name, which opens a page."""
        self.keys = {**self.keys, name: secrets.token_hex(32)}
        self.wish = replace(self.wish, secrets=self.keys, link_version=self.wish.link_version + 1)
        self.site.apply(self.wish)

    def restart_all(self) -> None:
        """Restart the whole cluster: new attempts in the same run."""
        nodes = tuple(replace(node, attempt=node.attempt + 1) for node in self.wish.nodes)
        generation = self.wish.generation + 1
        self.wish = replace(self.wish, nodes=nodes, generation=generation, restart=generation)
        until(lambda: all(self._exists(node.name, node.attempt) for node in nodes), 60)
        until(self._all_ready, 120)

    def kill(self, name: str) -> None:
        for pid in self.here.processes(self._folder(name)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def address(self, name: str) -> str:
        return next(node.address for node in self.site.look(self.wish.cluster, ()).nodes if node.name == name)

    def log(self, name: str) -> str:
        return self.site.logs(self.wish.cluster, self._ref(name), tail_bytes=4000).decode(errors="replace")

    def leaks(self) -> list[str]:
        """Logs and command lines that contain a secret, as "node: log" or "node: pid"."""
        found = []
        for node in self.wish.nodes:
            log = self.site.logs(self.wish.cluster, self._ref(node.name), tail_bytes=2**20)
            words = {"log": log} | {
                str(pid): read_proc(Path(f"/proc/{pid}"), "cmdline")
                for pid in self.here.processes(self._folder(node.name))
            }
            keys = [key.encode() for key in self.keys.values()]
            found += [
                f"{node.name}: {where}" for where, text in words.items() if any(key in text for key in keys)
            ]
        return found

    def _folder(self, name: str) -> NodeFolder:
        attempt = next(node.attempt for node in self.wish.nodes if node.name == name)
        return self.here.folder(self.wish.cluster, name, run=self.wish.run, attempt=attempt)

    def entrance(self, name: str) -> str:
        """A program that runs a command in the environment of a node."""
        return str(self._folder(name).enter)

    def enter(self, name: str, *command: str, seconds: float = 180) -> str:
        """Run a command in the environment of a node. Returns what it prints."""
        entrance = self.entrance(name)
        done = subprocess.run(
            [entrance, *command], capture_output=True, text=True, timeout=seconds, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def hook(self, name: str, hook: str) -> tuple[int, dict[str, Any]]:
        """Run a hook of a node. Returns its exit code and its answer."""
        entrance = self.entrance(name)
        done = subprocess.run(
            [entrance, "sh", "-c", f'exec "$SLIPWAY_DIR_APP/hooks/{hook}"'],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        return done.returncode, answer

    def page(self, name: str, port: int) -> str:
        return f"http://{self.address(name)}:{port}/lab?token={self.keys['notebook']}"

    def listening(self, name: str) -> set[str]:
        """The addresses at which processes of this node accept connections."""
        mine = {str(pid) for pid in self.here.processes(self._folder(name))}
        lines = subprocess.run(
            ["ss", "-Hltnp"], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        found = {line.split()[3] for line in lines if any(f"pid={pid}," in line for pid in mine)}
        return {address.rpartition(":")[0].strip("[]").removeprefix("::ffff:") for address in found}

    def _ref(self, name: str) -> NodeRef:
        return NodeRef(name, self._folder(name).attempt)

    def drain(self, name: str, seconds: int = 60) -> DrainReport:
        self.site.begin_drain(self.wish.cluster, [self._ref(name)], seconds)
        return until(lambda: self._report(name), seconds + 30)

    def _report(self, name: str) -> DrainReport | None:
        return next(node.drain for node in self.site.look(self.wish.cluster, ()).nodes if node.name == name)

    def grow(self, role: str, name: str) -> None:
        """Add a node, or make an existing one again in a new attempt."""
        group = self.wish.launch.group(role)
        old = [node for node in self.wish.nodes if node.name == name]
        attempt = old[0].attempt + 1 if old else 1
        node = DesiredNode(name, attempt, role, role, int(name.rpartition("-")[2]), group.each)
        kept = tuple(other for other in self.wish.nodes if other.name != name)
        self.wish = replace(self.wish, nodes=(*kept, node))
        until(lambda: self._exists(name, attempt), 60)

    def _exists(self, name: str, attempt: int) -> bool:
        """Apply, and return whether the attempt exists: it is made once nothing is left of the attempt before."""
        self.site.apply(self.wish)
        nodes = self.site.look(self.wish.cluster, ()).nodes
        return any((node.name, node.attempt) == (name, attempt) for node in nodes)


def shipped(name: str) -> App:
    return next(app for app in catalog.load() if app.name == name)


@contextmanager
def running(folder: Path, name: str, counts: Mapping[str, int], **settings: Any) -> Iterator[Running]:
    os.environ.setdefault("SLIPWAY_RUNTIME_CACHE", str(CACHE))
    with machine(folder / "site") as here:
        cluster = Running(here, shipped(name), counts, settings)
        yield cluster.start()
        cluster.site.remove(cluster.wish.cluster, force=True)
