"""Shared by the hooks of a Dask cluster: requests to its pages, and answers."""

import http.client
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

ADDRESS = os.environ["SLIPWAY_ADDRESS"]
ROLE = os.environ["SLIPWAY_ROLE"]
SCHEDULER = os.environ["SLIPWAY_FIRST_SCHEDULER_ADDRESS"]
SCHEDULER_PAGE = 8787
ASK_SECONDS = 2.0
PAUSE_SECONDS = 0.05

Answer = dict[str, Any]


class NotNow(Exception):  # noqa: N818 - read as an answer
    """The node, or a service that it depends on, gives no usable answer. Its text says why."""


def port(name: str) -> int:
    return int(os.environ[f"SLIPWAY_PORT_{name.upper()}"])


def fetch(host: str, number: int, path: str, headers: dict[str, str] | None = None) -> bytes:
    """The body of http://host:number/path. Raises NotNow."""
    connection = http.client.HTTPConnection(host, number, timeout=ASK_SECONDS)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise NotNow(f"{host}:{number} does not answer: {error}") from None
    finally:
        connection.close()
    if answer.status != 200:
        raise NotNow(f"{host}:{number}{path} answers {answer.status}")
    return body


def ask(host: str, number: int, path: str, headers: dict[str, str] | None = None) -> Any:
    try:
        return json.loads(fetch(host, number, path, headers))
    except ValueError:
        raise NotNow(f"{host}:{number}{path} answers with something that is not JSON") from None


def scheduler(what: str) -> Answer:
    """One of the scheduler's JSON pages: "counts" or "identity"."""
    found: Answer = ask(SCHEDULER, SCHEDULER_PAGE, f"/json/{what}.json")
    return found


def worker() -> Answer:
    """The scheduler's record of this worker. Raises NotNow when it has none."""
    mine = scheduler("identity")["workers"].get(worker_address())
    if mine is None:
        raise NotNow("the scheduler does not have this worker")
    found: Answer = mine
    return found


def worker_address() -> str:
    """The name of this worker in the scheduler: with its IP address, also where nodes have host names."""
    return f"tls://{socket.gethostbyname(ADDRESS)}:{port('comm')}"


def notebook(path: str) -> Any:
    """The answer of JupyterLab on this node. The request does not count as activity of a user. Raises NotNow."""
    with open(os.path.join(os.environ["SLIPWAY_DIR_CONF"], "notebook-token"), encoding="utf-8") as file:
        headers = {"Authorization": f"token {file.read().strip()}"}
    return ask(ADDRESS, port("notebook"), f"{path}?no_track_activity=1", headers)


def patiently(check: Callable[[], Answer], seconds: float) -> Answer:
    """The first answer of `check`, waiting for less than `seconds`. A repetition is cheaper than another hook start."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return check()
        except NotNow:
            if time.monotonic() >= deadline:
                raise
        time.sleep(PAUSE_SECONDS)


def say(answer: Answer, code: int = 0) -> None:
    """Print the answer as one line of JSON, and exit with `code`."""
    print(json.dumps(answer), flush=True)
    sys.exit(code)
