"""A new local site for one test, with access to its folders and processes. Nothing of it outlives the test."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controlplane.provisioners.base import ClusterRef
from controlplane.provisioners.local.launcher.children import kill_node
from controlplane.provisioners.local.launcher.status import Status
from controlplane.provisioners.local.layout import NodeFolder
from controlplane.provisioners.local.provisioner import LocalProvisioner
from controlplane.system import processes
from tests.provisioners.launching import until


class Machine:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.site = LocalProvisioner(root)

    def folder(self, of: ClusterRef, name: str = "worker-0", *, run: int = 1, attempt: int = 1) -> NodeFolder:
        return NodeFolder(self.site.layout.cluster(of.id), run, name, attempt)

    def status(self, folder: NodeFolder) -> Status:
        return Status.load(str(folder.path))

    def launcher(self, folder: NodeFolder) -> int:
        found = self.status(folder).launcher
        assert found
        return found.pid

    def processes(self, folder: NodeFolder) -> list[int]:
        """The pids of all processes of the node, without its launcher."""
        return [process.pid for process in processes.with_variable("SLIPWAY_NODE", folder.id)]

    def output(self, folder: NodeFolder) -> str:
        return (folder.path / "log").read_text() if (folder.path / "log").exists() else ""

    def says(self, folder: NodeFolder, text: str) -> str:
        """The whole output of the node, once it contains `text`."""
        until(lambda: text in self.output(folder))
        return self.output(folder)

    def break_node(self, of: ClusterRef, name: str) -> None:
        folder = next(node for node in self.site.layout.cluster(of.id).nodes() if node.name == name)
        (folder.work / "stop").touch()

    def lose_data(self, of: ClusterRef) -> None:
        shutil.rmtree(self.site.layout.cluster(of.id).path)

    def clean(self) -> None:
        for cluster in self.site.layout.clusters():
            for node in cluster.nodes():
                launcher = self.status(node).launcher
                if launcher and processes.send_signal(launcher, signal.SIGKILL):
                    until(lambda launcher=launcher: not launcher.is_alive)  # type: ignore[misc]
                assert kill_node(node.id)


@contextmanager
def machine(root: Path) -> Iterator[Machine]:
    made = Machine(root)
    try:
        yield made
    finally:
        made.clean()


def alive(pid: int) -> bool:
    return processes.identify(pid) is not None


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid))
