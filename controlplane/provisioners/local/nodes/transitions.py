"""Transitions of nodes as they happen: from notifications of launchers, and from the deaths of launchers."""

import os
import select
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

from controlplane.provisioners.base import NodeObservation, Temporary
from controlplane.provisioners.local.launcher import notifications
from controlplane.provisioners.local.launcher.status import Status
from controlplane.provisioners.local.layout import Layout, NodeFolder
from controlplane.provisioners.local.nodes import node_attempts
from controlplane.system import files

HEARTBEAT_SECONDS = 3.0


def transitions(layout: Layout) -> Iterator[NodeObservation | None]:
    """Observations without end; None once it listens, and about every three seconds after that."""
    listener, path = notifications.listen(files.make_folder(layout.events))
    watch = _Watch(layout, listener)
    heartbeat_at = time.monotonic()
    try:
        for folder in [node for cluster in layout.clusters() for node in cluster.nodes()]:
            watch.watch_launcher(folder)
        yield None
        while True:
            for folder in watch.changed(HEARTBEAT_SECONDS):
                # A record that is damaged now makes no observation; a reconcile pass finds it.
                with suppress(Temporary):
                    yield node_attempts.observe(folder) or node_attempts.gone(folder)
            if time.monotonic() - heartbeat_at >= HEARTBEAT_SECONDS:
                heartbeat_at = time.monotonic()
                yield None
    finally:
        watch.close()
        with suppress(FileNotFoundError):
            os.unlink(path)


class _Watch:
    """handles: pidfd of a launcher -> its node."""

    def __init__(self, layout: Layout, listener: socket.socket) -> None:
        self.layout, self.listener = layout, listener
        self.handles: dict[int, NodeFolder] = {}
        self.poll = select.poll()
        self.poll.register(listener, select.POLLIN)

    def changed(self, seconds: float) -> list[NodeFolder]:
        """The nodes that have changed, each once; empty when nothing changes for `seconds`."""
        found: dict[NodeFolder, None] = {}
        for handle, _ in self.poll.poll(seconds * 1000):
            if handle in self.handles:
                found[self._forget(handle)] = None
            else:
                found |= dict.fromkeys(self._received())
        for folder in found:
            self.watch_launcher(folder)
        return list(found)

    def watch_launcher(self, folder: NodeFolder) -> None:
        """Have `changed` return this node when its launcher dies."""
        if folder in self.handles.values():
            return
        try:
            launcher = Status.load(str(folder.path)).launcher
            if launcher and not node_attempts.is_over(folder):
                handle = os.pidfd_open(launcher.pid)
                self.handles[handle] = folder
                self.poll.register(handle, select.POLLIN)
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return

    def close(self) -> None:
        for handle in list(self.handles):
            self._forget(handle)
        self.listener.close()

    def _forget(self, handle: int) -> NodeFolder:
        self.poll.unregister(handle)
        os.close(handle)
        return self.handles.pop(handle)

    def _received(self) -> Iterator[NodeFolder]:
        while True:
            try:
                data = self.listener.recv(4096)
            except BlockingIOError:
                return
            if folder := self.layout.node_at(os.fsdecode(data)):
                yield folder
