"""How long a page of 50 clusters takes in a tenant that has 10,000, over HTTP."""

import json
from collections.abc import Iterator
from typing import Any

import load
from service import ServiceUnderTest, service
from stats import cpu_seconds, family, milliseconds, percentile

CLUSTERS = 10_000
REQUESTS = 400
WARM = 50
GOAL_MS = 15
TENANT = "/api/v1/tenants/demo"


def measure() -> dict[str, Any]:
    with service() as running:
        running.call("PUT", f"{TENANT}/limits", {"cpu": None, "memory": None, "clusters": None})
        running.call("POST", f"{TENANT}/clusters", {"name": "first", "template": "spark", "site": "fake"})
        running.run("fill.py", str(CLUSTERS - 1))
        _check(running)
        paths = {
            "newest": f"{TENANT}/clusters?page_size=50",
            "filtered": f"{TENANT}/clusters?page_size=50&phase=ready&owner=admin",
            "deep": f"{TENANT}/clusters?page_size=50&page_token={_token_after(running, 100)}",
        }
        cpu: dict[str, dict[str, float]] = {}
        found = {name: _time(running, path, cpu.setdefault(name, {})) for name, path in paths.items()}
    return {
        "what": f"milliseconds, p99, for a page of 50 out of {CLUSTERS:,} clusters",
        "value": milliseconds(found["newest"])["p99"],
        "goal": f"<= {GOAL_MS}",
        "kept": all(1000 * percentile(seconds, 0.99) <= GOAL_MS for seconds in found.values()),
        "milliseconds": {name: milliseconds(seconds) for name, seconds in found.items()},
        "cpu_ms_each": cpu,
    }


def _time(running: ServiceUnderTest, path: str, cpu: dict[str, float]) -> list[float]:
    """Returns the seconds of each request. `cpu` receives the milliseconds of processor time per request."""

    def requests(count: int) -> Iterator[bytes]:
        return (load.request("GET", path, running.token) for _ in range(count))

    load.run(running.port, lambda number: requests(WARM), 1)
    before = {name: cpu_seconds(family(pid)) for name, pid in running.pids.items()}
    tally = load.run(running.port, lambda number: requests(REQUESTS), 1)
    for name, pid in running.pids.items():
        cpu[name] = round(1000 * (cpu_seconds(family(pid)) - before[name]) / REQUESTS, 2)
    if tally.statuses != {200: REQUESTS}:
        raise RuntimeError(f"answers were {tally.statuses}")
    return tally.seconds


def _token_after(running: ServiceUnderTest, pages: int) -> str:
    token = ""
    for _ in range(pages):
        page = running.call("GET", f"{TENANT}/clusters?page_size=50&page_token={token}")
        token = page["next_page_token"]
    return str(token)


def _check(running: ServiceUnderTest) -> None:
    page = running.call("GET", f"{TENANT}/clusters?page_size=50")
    if len(page["items"]) != 50 or not page["next_page_token"]:
        raise RuntimeError(f"not a page of 50: {json.dumps(page)[:300]}")
