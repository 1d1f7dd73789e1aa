"""How long `up` takes on an installed machine until a browser gets its first page."""

import signal
import time
from statistics import median
from typing import Any

from installation import HOST, fetch, installed, seconds_until
from service import end, free_port

ROUNDS = 5
GOAL = 5.0


def measure() -> dict[str, Any]:
    seconds = []
    with installed(runtimes=False) as installation:
        for _ in range(ROUNDS):
            port = free_port()
            began = time.perf_counter()
            process = installation.start(port)
            try:
                seconds.append(
                    seconds_until(lambda port=port: fetch(HOST, port, "/login")[0] == 200, "no page", began)
                )
            finally:
                end(process, signal.SIGINT)
    return {
        "what": "seconds from `up` to the first page",
        "value": round(median(seconds), 2),
        "goal": f"<= {GOAL:g}",
        "kept": median(seconds) <= GOAL,
        "rounds": [round(one, 2) for one in seconds],
    }
