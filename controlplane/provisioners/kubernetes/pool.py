"""Pooled connections to one API server: each is dialled by `Access`, and checked before its first call."""

from collections.abc import Callable
from typing import Any

import urllib3

from controlplane.provisioners.kubernetes import together
from controlplane.provisioners.kubernetes.access import CONNECT_SECONDS, Access


def pool(access: Access, check: Callable[[Any], None]) -> urllib3.HTTPConnectionPool:
    """check: is given every connection that was opened, also in place of another. What it raises, the call raises."""
    options: dict[str, Any] = {"maxsize": 2 * together.AT_ONCE}
    kind: Any = urllib3.HTTPConnectionPool
    if access.tls is not None:
        kind = urllib3.HTTPSConnectionPool
        options |= {"ssl_context": access.tls, "server_hostname": access.server_name}

    class Pool(kind):  # type: ignore[misc]
        ConnectionCls = _dialled(kind.ConnectionCls, access)

        def _validate_conn(self, connection: Any) -> None:
            is_new = connection.is_closed
            if is_new:
                connection.connect()
            super()._validate_conn(connection)
            if is_new:
                check(connection)

    made: urllib3.HTTPConnectionPool = Pool(access.host, access.port, **options)
    return made


def _dialled(kind: Any, access: Access) -> Any:
    class Dialled(kind):  # type: ignore[misc]
        # One that was closed is never opened again in the middle of a call, unchecked.
        auto_open = 0

        def _new_conn(self) -> Any:
            return access.dial(self.timeout or CONNECT_SECONDS)

    return Dialled
