"""Connections to one API server, counted as they are opened: also those in place of one that was dropped."""

import threading
from typing import Any

import urllib3

from controlplane.provisioners.kubernetes import together
from controlplane.provisioners.kubernetes.access import SOCKET_OPTIONS, Access


class Opened:
    """How many so far."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.count = 0

    def add(self) -> None:
        with self._lock:
            self.count += 1


def pool(access: Access, opened: Opened) -> urllib3.HTTPConnectionPool:
    options: dict[str, Any] = {"maxsize": 2 * together.AT_ONCE, "socket_options": SOCKET_OPTIONS}
    made = (
        urllib3.HTTPConnectionPool(access.host, access.port, **options)
        if access.tls is None
        else urllib3.HTTPSConnectionPool(
            access.host, access.port, ssl_context=access.tls, server_hostname=access.server_name, **options
        )
    )
    made.ConnectionCls = _counted(made.ConnectionCls, opened)
    return made


def _counted(kind: Any, opened: Opened) -> Any:
    class Counted(kind):  # type: ignore[misc]
        def connect(self) -> None:
            super().connect()
            opened.add()

    return Counted
