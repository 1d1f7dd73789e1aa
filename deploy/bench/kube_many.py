"""What many clusters cost on a Kubernetes site: creating them, leaving them idle, and restarting a worker.

The pods run on fake nodes. The API server's audit log counts all calls. The floor creates clusters of its own, a block
before the first of ours and a block after the last. It shows how much slower the API server itself becomes.
"""

import asyncio
import json
import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any

from bare import STRANGER, Floor, Pattern, watching
from installation import RunningInstallation, installed
from kube import FAKE, api_of, api_server, create, devkube, in_flight, posts_of, register

from deploy.devkube import kwok
from deploy.devkube.audit import Audit, Call, is_write
from deploy.devkube.settings import Devkube

PODS = 2
CLUSTERS, BLOCK, FAKE_NODES = 2000, 200, 60
GROUPS = {"master": {"cpu": "250m"}, "worker": {"count": 1, "cpu": "500m"}}
IDLE_SECONDS, QUIET_SECONDS, PATIENCE_SECONDS = 600, 45, 900
FLAT, FIRST_ACTION_SECONDS = 0.1, 5.0
GOAL = (
    f"rate flat to {FLAT:.0%}, 0 calls for idle clusters, first right action at most "
    f"{FIRST_ACTION_SECONDS:g} s after a restart, nothing made twice"
)


def _ours(audit: Audit) -> Iterator[Call]:
    """Yields Slipway's own calls without watches, which the log has only when they end."""
    for call in audit.calls():
        agent = str(call.get("userAgent", ""))
        if agent.startswith("slipway-") and not agent.startswith("slipway-bench") and call["verb"] != "watch":
            yield call


def _of_a_cluster(call: Call) -> bool:
    """Whether a call is for one cluster, and not for the whole site, which is listed every few minutes."""
    return "slipway%2Fcluster%3D" in call["requestURI"] or "/c-" in call["requestURI"] or is_write(call)


def measure() -> dict[str, Any]:
    with devkube() as kube, installed(runtimes=False) as installation, installation.running() as running:
        kwok.scale(kube, FAKE_NODES)
        register(running, kube, *FAKE)
        audit = Audit(kube.audit_log)
        posted, cluster = posts_of(running, GROUPS)
        rates, bare = asyncio.run(_made(running, kube, Pattern.read(posted, cluster)))
        idle = _idle(audit)
        return _verdict(rates, bare, idle, asyncio.run(_restarted(running, audit)))


async def _made(
    running: RunningInstallation, kube: Devkube, pattern: Pattern
) -> tuple[list[float], list[float]]:
    """Returns the clusters per second of each block, and those of the floor before and after."""
    server, theirs = api_of(running), api_server(kube)
    async with watching(theirs, pattern.namespace, STRANGER, PODS) as pods:
        floor = Floor(theirs, pattern, pods)
        bare = [await _block(floor.create)]
        rates = [await _block(partial(create, server, GROUPS)) for _ in range(CLUSTERS // BLOCK)]
        # The API server has closed the idle connections.
        theirs.close()
        bare.append(await _block(floor.create))
    server.close()
    theirs.close()
    return rates, bare


async def _block(make: Callable[[], Awaitable[object]]) -> float:
    rate = await in_flight(make, BLOCK)
    print(f"{rate:.1f} clusters a second", flush=True)
    return rate


def _idle(audit: Audit) -> dict[str, Any]:
    """Counts the calls of ten minutes without any request of a user."""
    _wait_for_quiet(audit)
    audit.begin()
    time.sleep(IDLE_SECONDS)
    calls = list(_ours(audit))
    return {
        "seconds": IDLE_SECONDS,
        "clusters": CLUSTERS,
        "for_clusters": dict(Counter(call["verb"] for call in calls if _of_a_cluster(call))),
        "for_the_site": dict(Counter(call["verb"] for call in calls if not _of_a_cluster(call))),
    }


def _wait_for_quiet(audit: Audit) -> None:
    """Wait until there was no call for a cluster for QUIET_SECONDS."""
    recent, ends = Audit(audit.log), time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < ends:
        time.sleep(QUIET_SECONDS)
        if not any(_of_a_cluster(call) for call in _ours(recent)):
            return
        recent.begin()
    raise RuntimeError("calls for clusters do not end")


async def _restarted(running: RunningInstallation, audit: Audit) -> dict[str, Any]:
    """Kill the worker and request a cluster before the next worker runs. Returns its times and writes."""
    server = api_of(running)
    audit.begin()
    pid = int((running.data / "run" / "worker.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    began = time.time()
    made = await create(server, GROUPS)
    server.close()
    _wait_for_quiet(audit)
    # A new worker ensures each tenant's namespace once; those writes are for no cluster.
    writes = [call for call in _ours(audit) if is_write(call) and _name(call).startswith("c-")]
    mine = [call for call in writes if uuid.UUID(made.id).hex in json.dumps(call["objectRef"])]
    return {
        "first_action_seconds": round(min(_at(call) for call in mine) - began, 2),
        "ready_seconds": round(made.ready, 2),
        "writes": len(mine),
        "refused_as_there": sum(call["responseStatus"]["code"] == 409 for call in mine),
        "writes_for_others": len(writes) - len(mine),
    }


def _name(call: Call) -> str:
    return str(call["objectRef"].get("name", ""))


def _at(call: Call) -> float:
    return datetime.fromisoformat(call["requestReceivedTimestamp"]).timestamp()


def _verdict(
    rates: list[float], bare: list[float], idle: dict[str, Any], restart: dict[str, Any]
) -> dict[str, Any]:
    flatness = rates[-1] / rates[0]
    again = restart["refused_as_there"] + restart["writes_for_others"]
    kept = {
        "flat": abs(1 - flatness) <= FLAT,
        "idle": not idle["for_clusters"],
        "first_action": restart["first_action_seconds"] <= FIRST_ACTION_SECONDS,
        "nothing_twice": again == 0,
    }
    return {
        "what": f"{CLUSTERS} clusters: a second, first and last {BLOCK}; calls for idle ones; s after a restart",
        "value": f"{rates[0]:.1f} and {rates[-1]:.1f}/s; {sum(idle['for_clusters'].values())} calls; "
        f"{restart['first_action_seconds']:.1f} s",
        "goal": GOAL,
        "kept": all(kept.values()),
        "each_kept": kept,
        "floor": {
            "what": "a bare asyncio script that posts the same manifests, before and after",
            "value": f"{bare[0]:.1f} and {bare[1]:.1f}/s",
        },
        "flatness": {"ours": round(flatness, 2), "floor": round(bare[1] / bare[0], 2)},
        "rates": [round(rate, 1) for rate in rates],
        "idle": idle,
        "restart": restart,
    }
