"""The API as a process of its own, over HTTP, on the tests' database."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
from django.conf import settings
from django.db import connection

from controlplane.standalone.web.server import HEADER_SECONDS, raise_file_limit, web_command

SECONDS = 60.0


@contextmanager
def served(log: Path | None = None, *, header_seconds: int = HEADER_SECONDS) -> Iterator[str]:
    """The address of a server that stops with the context. log: the file of its log."""
    raise_file_limit()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = web_command(port, application="controlplane.asgi:application", header_seconds=header_seconds)
    environment = os.environ | _environment() | ({"SLIPWAY_LOG_LEVEL": "INFO"} if log else {})
    with (log or Path(os.devnull)).open("wb") as output:
        errors = output if log else None
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=errors)
    try:
        address = f"http://127.0.0.1:{port}"
        _await(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(SECONDS)


def _environment() -> dict[str, str]:
    found = connection.settings_dict
    host, user, password = (quote(str(found[name] or ""), safe="") for name in ("HOST", "USER", "PASSWORD"))
    port = f":{found['PORT']}" if found["PORT"] else ""
    return {
        "DATABASE_URL": f"postgresql://{user}:{password}@{host}{port}/{found['NAME']}",
        "SLIPWAY_FAKE_SITE": "1",
        # Sessions that a test makes are good there too.
        "SLIPWAY_SECRET_KEY": settings.SECRET_KEY,
        "SLIPWAY_LOG_LEVEL": "ERROR",
    }


def _await(address: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{address}/healthz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"the server did not come up: {process.poll()}")
