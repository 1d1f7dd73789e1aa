"""Shared by the hooks of a notebook: requests to JupyterLab, and answers."""

import http.client
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

ASK_SECONDS = 2.0
PAUSE_SECONDS = 0.05

Answer = dict[str, Any]


class NotNow(Exception):  # noqa: N818 - read as an answer
    """JupyterLab gives no usable answer. Its text says why."""


def notebook(path: str) -> Any:
    """The answer of JupyterLab on this node. The request does not count as activity of a user. Raises NotNow."""
    address, port = os.environ["SLIPWAY_ADDRESS"], int(os.environ["SLIPWAY_PORT_NOTEBOOK"])
    with open(os.path.join(os.environ["SLIPWAY_DIR_CONF"], "notebook-token"), encoding="utf-8") as file:
        headers = {"Authorization": f"token {file.read().strip()}"}
    connection = http.client.HTTPConnection(address, port, timeout=ASK_SECONDS)
    try:
        connection.request("GET", f"{path}?no_track_activity=1", headers=headers)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise NotNow(f"JupyterLab does not answer: {error}") from None
    finally:
        connection.close()
    if answer.status != 200:
        raise NotNow(f"JupyterLab answers {answer.status}")
    try:
        return json.loads(body)
    except ValueError:
        raise NotNow("JupyterLab answers with something that is not JSON") from None


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
