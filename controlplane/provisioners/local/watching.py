"""Transitions as they happen: news from launchers, and the end of launchers that could send none."""

import os
import select
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

from controlplane.provisioners.base import NodeObservation, Temporary
from controlplane.provisioners.local import attempts, files, notices
from controlplane.provisioners.local.layout import Layout, NodeFolder
from controlplane.provisioners.local.status import Status

QUIET_SECONDS = 3.0


def transitions(layout: Layout) -> Iterator[NodeObservation | None]:
    listener, path = notices.listen(files.make_folder(str(layout.events)))
    watch = _Watch(layout, listener)
    heard_at = time.monotonic()
    try:
        for folder in [node for cluster in layout.clusters() for node in cluster.nodes()]:
            watch.launcher_of(folder)
        yield None
        while True:
            for folder in watch.changed(QUIET_SECONDS):
                # A record that cannot be read now is no news; whoever looks is told.
                with suppress(Temporary):
                    yield attempts.observe(folder) or attempts.gone(folder)
            if time.monotonic() - heard_at >= QUIET_SECONDS:
                heard_at = time.monotonic()
                yield None
    finally:
        watch.close()
        with suppress(FileNotFoundError):
            os.unlink(path)


class _Watch:
    """handles: pidfd of a launcher -> the node it is of."""

    def __init__(self, layout: Layout, listener: socket.socket) -> None:
        self.layout, self.listener = layout, listener
        self.handles: dict[int, NodeFolder] = {}
        self.poll = select.poll()
        self.poll.register(listener, select.POLLIN)

    def changed(self, seconds: float) -> list[NodeFolder]:
        """The nodes of which there is news, each once; none after `seconds` without any."""
        found: dict[NodeFolder, None] = {}
        for handle, _ in self.poll.poll(seconds * 1000):
            if handle in self.handles:
                found[self._forget(handle)] = None
            else:
                found |= dict.fromkeys(self._received())
        for folder in found:
            self.launcher_of(folder)
        return list(found)

    def launcher_of(self, folder: NodeFolder) -> None:
        """Hear of its end from now on."""
        if folder in self.handles.values():
            return
        try:
            launcher = Status.load(str(folder.path)).launcher
            if launcher and not attempts.is_over(folder):
                handle = os.pidfd_open(launcher[0])
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
