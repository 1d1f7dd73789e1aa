"""How long a notebook takes from the request until its page opens. Afterwards a kernel is started in it as a check."""

import json
import time
import urllib.request
from statistics import median
from typing import Any
from urllib.parse import parse_qs, urlsplit

from installation import TENANT, RunningInstallation, installed
from service import await_true

ROUNDS = 3
GOAL = 5.0


def measure() -> dict[str, Any]:
    with installed() as installation, installation.running() as running:
        _once(running, "warm")
        seconds = [_once(running, f"round-{number}") for number in range(ROUNDS)]
    return {
        "what": "seconds from POST to a notebook that can be used",
        "value": round(median(seconds), 2),
        "goal": f"<= {GOAL:g}",
        "kept": median(seconds) <= GOAL,
        "rounds": [round(one, 2) for one in seconds],
    }


def _once(running: RunningInstallation, name: str) -> float:
    """Returns the seconds until the page opens by its link with the token, as in a browser."""
    began = time.perf_counter()
    cluster = running.call(
        "POST", f"{TENANT}/clusters", {"name": name, "template": "notebook", "site": "local"}
    )
    try:
        running.finish(cluster["operation"])
        services = running.call("GET", f"{TENANT}/clusters/{name}")["services"]
        url = next(service["url"] for service in services if service.get("dashboard") and service["url"])
        await_true(lambda: _opens(url), "the page does not open")
        elapsed = time.perf_counter() - began
        _start_kernel(url)
    finally:
        running.delete(name)
    return elapsed


def _opens(url: str) -> bool:
    with urllib.request.urlopen(url, timeout=10) as page:  # noqa: S310
        return bool(page.status == 200 and b"jupyter" in page.read().lower())


def _start_kernel(url: str) -> None:
    parts = urlsplit(url)
    base = parts.path.partition("lab")[0].rstrip("/")
    request = urllib.request.Request(  # noqa: S310
        f"{parts.scheme}://{parts.netloc}{base}/api/kernels",
        data=b"{}",
        headers={
            "Authorization": f"token {parse_qs(parts.query)['token'][0]}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        if "id" not in json.load(answer):
            raise RuntimeError("no kernel was started")
