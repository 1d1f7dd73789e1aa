"""What every hook of this app shares: the node it runs on, pages it may ask, processes it may look at."""

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
# A driver's page takes its time over the first question only.
DRIVER_SECONDS = 4.0
PAUSE_SECONDS = 0.05
# The port where a driver's page would be, and how many sessions of one node may have moved on from it.
JOBS_PORT, SESSIONS = 4040, 33

Answer = dict[str, Any]


class NotNow(Exception):  # noqa: N818 - read as an answer
    """The node, or what it depends on, does not answer as it should; says why."""


class Unreachable(NotNow):
    """Nothing came back in time: asking the next port of the same host would take as long again."""


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
    """What JupyterLab on this node answers; asking does not count as somebody's activity."""
    headers = {"Authorization": f"token {conf('notebook-token')}"}
    return ask(ADDRESS, port("notebook"), f"{path}?no_track_activity=1", headers)


def executors() -> list[Answer]:
    """The executors that run on this node now: {app, id, driver}."""
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
    """Every process that may be looked at: its id and its command line."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    words = file.read().decode(errors="replace").split("\0")
            except OSError:
                continue
            yield int(name), words


def running_tasks(here: list[Answer]) -> int | None:
    """The tasks that `here`, executors of this node, work on, as their drivers say. None where one does not say."""
    total = 0
    for app in {executor["app"]: executor for executor in here}.values():
        ids = {executor["id"] for executor in here if executor["app"] == app["app"]}
        rows = driver_executors(app["driver"], app["app"])
        if rows is None:
            return None
        total += sum(active_tasks(row) for row in rows if row["id"] in ids)
    return total


def active_tasks(row: Answer) -> int:
    """Drivers count a task's start a moment before the end of the one whose place it takes."""
    return min(row["activeTasks"], row["maxTasks"])


def driver_executors(host: str, app: str) -> list[Answer] | None:
    """The executors of an application, from its driver's page. None when no page of that host is about it."""
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
    """The first good answer within `seconds`; asking again here is cheaper than being started again."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return check()
        except NotNow:
            if time.monotonic() >= deadline:
                raise
        time.sleep(PAUSE_SECONDS)


def say(answer: Answer, code: int = 0) -> None:
    """One line of JSON, and the end."""
    print(json.dumps(answer), flush=True)
    sys.exit(code)
