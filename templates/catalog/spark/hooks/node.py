"""Shared by the hooks of this app: requests to Spark's pages, the executors of this node, and answers."""

import http.client
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

ADDRESS = os.environ["SLIPWAY_ADDRESS"]
ROLE = os.environ["SLIPWAY_ROLE"]
ASK_SECONDS = 2.0
# A driver's page is slow at the first request only.
DRIVER_SECONDS = 4.0
PAUSE_SECONDS = 0.05
# The first port of a driver's page. Each further session on a node takes the next port, up to SESSIONS in all.
JOBS_PORT, SESSIONS = 4040, 33

Answer = dict[str, Any]


class NotNow(Exception):  # noqa: N818 - read as an answer
    """The node, or a service that it depends on, gives no usable answer. Its text says why."""


class Unreachable(NotNow):
    """The host did not answer in time. The next port of the same host would take as long again."""


def port(name: str) -> int:
    return int(os.environ[f"SLIPWAY_PORT_{name.upper()}"])


def conf(name: str) -> str:
    """The text of a file rendered for this role."""
    with open(os.path.join(os.environ["SLIPWAY_DIR_CONF"], name), encoding="utf-8") as file:
        return file.read().strip()


def ask(
    host: str, number: int, path: str, headers: dict[str, str] | None = None, seconds: float = ASK_SECONDS
) -> Any:
    """The JSON at http://host:number/path. Raises NotNow."""
    connection = http.client.HTTPConnection(host, number, timeout=seconds)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        body = answer.read()
    except TimeoutError:
        raise Unreachable(f"{host}:{number} does not answer in time") from None
    except (OSError, http.client.HTTPException) as error:
        raise NotNow(f"{host}:{number} does not answer: {error}") from None
    finally:
        connection.close()
    if answer.status != 200:
        raise NotNow(f"{host}:{number}{path} answers {answer.status}")
    try:
        return json.loads(body)
    except ValueError:
        raise NotNow(f"{host}:{number}{path} answers with something that is not JSON") from None


def master() -> Answer:
    """The master's own state: status, workers, activeapps."""
    host = os.environ["SLIPWAY_FIRST_MASTER_ADDRESS"]
    return ask(host, int(os.environ.get("SLIPWAY_FIRST_MASTER_PORT_UI", "8080")), "/json/")


def notebook(path: str) -> Any:
    """The answer of JupyterLab on this node. The request does not count as activity of a user. Raises NotNow."""
    headers = {"Authorization": f"token {conf('notebook-token')}"}
    return ask(ADDRESS, port("notebook"), f"{path}?no_track_activity=1", headers)


def executors() -> list[Answer]:
    """The executors that run on this node now: {"app": id, "id", "driver": host}."""
    mine = f"@{ADDRESS}:{port('rpc')}"
    found = []
    for _, words in processes():
        if "org.apache.spark.executor.CoarseGrainedExecutorBackend" in words:
            given = dict(pairwise(words))
            if given.get("--worker-url", "").endswith(mine):
                driver = re.search(r"@\[?([^\]@]+?)\]?:\d+$", given.get("--driver-url", ""))
                found.append(
                    {
                        "app": given.get("--app-id", ""),
                        "id": given.get("--executor-id", ""),
                        "driver": driver[1] if driver else "",
                    }
                )
    return found


def processes() -> Iterator[tuple[int, list[str]]]:
    """(pid, command line) of every process that this user may read."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    words = file.read().decode(errors="replace").split("\0")
            except OSError:
                continue
            yield int(name), words


def running_tasks(here: list[Answer]) -> int | None:
    """How many tasks these executors of this node run, from their drivers' pages. None when one gives no answer."""
    total = 0
    for app in {executor["app"]: executor for executor in here}.values():
        ids = {executor["id"] for executor in here if executor["app"] == app["app"]}
        rows = driver_executors(app["driver"], app["app"])
        if rows is None:
            return None
        total += sum(active_tasks(row) for row in rows if row["id"] in ids)
    return total


def active_tasks(row: Answer) -> int:
    """A driver counts the start of a task shortly before the end of the task before it: at most one per core counts."""
    return min(row["activeTasks"], row["maxTasks"])


def driver_executors(host: str, app: str) -> list[Answer] | None:
    """The executors of an application, from its driver's page. None when no page of this host shows it."""
    for number in range(JOBS_PORT, JOBS_PORT + SESSIONS):
        try:
            rows: list[Answer] = ask(
                host, number, f"/api/v1/applications/{app}/executors", seconds=DRIVER_SECONDS
            )
        except Unreachable:
            return None
        except NotNow:
            continue
        return rows
    return None


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
