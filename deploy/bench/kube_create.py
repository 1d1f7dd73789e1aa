"""How fast clusters of four pods are created on a Kubernetes site, against a bare script that posts the same manifests.

The pods run on fake nodes and are ready as soon as they are scheduled. So this measures the API server, its
controllers and Slipway. Both take turns in one namespace, under the tenant's quota, Pod Security and policies.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from bare import STRANGER, Creation, Floor, Pattern, Pods, watching
from installation import HOST, RunningInstallation, fetch, installed, seconds_of
from kube import FAKE, IN_FLIGHT, api_of, api_server, create, devkube, in_flight, posts_of, register
from stats import by_name, cpu_seconds, family, milliseconds, percentile, process_name
from wire import Server

from deploy.devkube import kwok, lifecycle
from deploy.devkube.settings import Devkube

FAKE_NODES = 60
WARM_UP, ROUNDS = 5, 50
TURNS, EACH_TURN = 2, 80
GROUPS = {"master": {"cpu": "250m"}, "worker": {"count": 3, "cpu": "500m"}}
PODS = 4
ACCEPTED_P50, ACCEPTED_P99, READY, RATE, CPU_MS = 1.3, 2.0, 1.15, 0.8, 15.0
GOAL = (
    f"accepted <= {ACCEPTED_P50} x the floor (p99 {ACCEPTED_P99:g} x), ready <= {READY} x, rate >= {RATE:.0%}, "
    f"<= {CPU_MS:g} ms of our CPU"
)

PASSES = re.compile(r'^slipway_passes_total\{kind="cluster".*\} (\S+)$', re.MULTILINE)

Create = Callable[[], Awaitable[Creation]]


@dataclass
class Slipway:
    """Creates clusters by Slipway's API."""

    server: Server
    pods: Pods

    async def create(self) -> Creation:
        """The cluster is ready when the API says so."""
        began = time.perf_counter()
        made = await create(self.server, GROUPS)
        times = await self.pods.ready(made.id)
        accepted, pods_ready = times.accepted_at - began, times.ready_at - began
        isolated = next(seconds_of(step) for step in made.operation["steps"] if step["name"] == "isolated")
        parts = {
            "answer": made.answered,
            "isolated": isolated,
            "accepted": accepted - made.answered - isolated,
            "pods_ready": pods_ready - accepted,
            "reported": made.ready - pods_ready,
        }
        return Creation(accepted, made.ready, parts)


@dataclass
class Rush:
    """The cost of many clusters at once. cpu: seconds by process. passes: reconcile passes of all workers."""

    clusters: int = 0
    seconds: float = 0.0
    passes: float = 0.0
    cpu: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return self.clusters / self.seconds

    def cpu_ms_each(self) -> dict[str, float]:
        return {name: round(1000 * seconds / self.clusters, 2) for name, seconds in self.cpu.items()}


def measure() -> dict[str, Any]:
    return measured(fast=False)


def measured(*, fast: bool) -> dict[str, Any]:
    with (
        devkube(fast=fast) as kube,
        installed(runtimes=False) as installation,
        installation.running() as running,
    ):
        kwok.scale(kube, FAKE_NODES)
        register(running, kube, *FAKE)
        posted, cluster = posts_of(running, GROUPS)
        pattern = Pattern.read(posted, cluster)
        return asyncio.run(_measured(running, kube, posted["installation"], pattern))


async def _measured(
    running: RunningInstallation, kube: Devkube, installation: str, pattern: Pattern
) -> dict[str, Any]:
    api, theirs = api_of(running), api_server(kube)
    async with (
        watching(theirs, pattern.namespace, STRANGER, PODS) as bare_pods,
        watching(theirs, pattern.namespace, installation, PODS) as our_pods,
    ):
        floor, ours = Floor(theirs, pattern, bare_pods), Slipway(api, our_pods)
        bare_alone, our_alone = await _alone(floor, ours)
        bare_rush, our_rush = await _at_once(floor, ours, _Meter(running, kube))
    api.close()
    theirs.close()
    return _verdict(our_alone, bare_alone, our_rush, bare_rush) | {
        "one_at_a_time_ms": {
            "rounds": ROUNDS,
            "ours": _times(our_alone),
            "floor": _times(bare_alone),
            "ours_p50_by_part": _parts(our_alone),
        },
        "in_flight": {
            "clients": IN_FLIGHT,
            "clusters": our_rush.clusters,
            "ours_per_second": round(our_rush.rate, 1),
            "floor_per_second": round(bare_rush.rate, 1),
            "cpu_ms_each": {"ours": our_rush.cpu_ms_each(), "floor": bare_rush.cpu_ms_each()},
            "passes_each": round(our_rush.passes / our_rush.clusters, 1),
        },
    }


def _times(creations: Sequence[Creation]) -> dict[str, dict[str, float]]:
    return {
        "accepted": milliseconds([one.accepted for one in creations]),
        "ready": milliseconds([one.ready for one in creations]),
    }


def _parts(creations: Sequence[Creation]) -> dict[str, float]:
    return {
        name: round(1000 * percentile([one.parts[name] for one in creations], 0.5), 1)
        for name in creations[0].parts
    }


async def _alone(floor: Floor, ours: Slipway) -> tuple[list[Creation], list[Creation]]:
    bare, slipway = [], []
    for _ in range(WARM_UP + ROUNDS):
        bare.append(await floor.create())
        slipway.append(await ours.create())
    return bare[WARM_UP:], slipway[WARM_UP:]


async def _at_once(floor: Floor, ours: Slipway, meter: "_Meter") -> tuple[Rush, Rush]:
    bare, slipway = Rush(), Rush()
    for _ in range(TURNS):
        for rush, make in ((bare, floor.create), (slipway, ours.create)):
            with meter.counted(rush):
                await in_flight(make, EACH_TURN)
            rush.clusters += EACH_TURN
    return bare, slipway


class _Meter:
    """Measures the processor time of our processes, of Kubernetes and of this one, and the reconcile passes."""

    def __init__(self, running: RunningInstallation, kube: Devkube) -> None:
        self._running, self._up = running, running.process.pid
        self._node = lifecycle.node_pid(kube) or 0

    @contextmanager
    def counted(self, rush: Rush) -> Iterator[None]:
        passes, before, began = self._passes(), self._now(), time.perf_counter()
        yield
        rush.seconds += time.perf_counter() - began
        for name, seconds in self._now().items():
            rush.cpu[name] = rush.cpu.get(name, 0) + seconds - before[name]
        rush.passes += self._passes() - passes

    def _passes(self) -> float:
        _, metrics = fetch(HOST, self._running.port, "/metrics", token=self._running.token)
        return sum(map(float, PASSES.findall(metrics.decode())))

    def _now(self) -> dict[str, float]:
        own = family(self._up)
        ours = by_name({pid: process_name(pid) for pid in own}, {pid: cpu_seconds([pid]) for pid in own})
        return ours | {"kubernetes": cpu_seconds(family(self._node)), "this": time.process_time()}


def _verdict(
    ours: Sequence[Creation], bare: Sequence[Creation], our_rush: Rush, bare_rush: Rush
) -> dict[str, Any]:
    our_times, bare_times = _times(ours), _times(bare)
    ratios = {
        f"{what}_{share}": our_times[what][share] / bare_times[what][share]
        for what, share in (("accepted", "p50"), ("accepted", "p99"), ("ready", "p50"))
    }
    ratios["rate"] = our_rush.rate / bare_rush.rate
    cpu = sum(our_rush.cpu_ms_each()[name] for name in ("web", "worker"))
    kept = {
        "accepted_p50": ratios["accepted_p50"] <= ACCEPTED_P50,
        "accepted_p99": ratios["accepted_p99"] <= ACCEPTED_P99,
        "ready_p50": ratios["ready_p50"] <= READY,
        "rate": ratios["rate"] >= RATE,
        "cpu_ms": cpu <= CPU_MS,
    }
    return {
        "what": "creating clusters of four pods: ms until accepted and until ready, p50; clusters a second; CPU",
        "value": f"{_summary(our_times, our_rush)}; {cpu:.0f} ms",
        "goal": GOAL,
        "kept": all(kept.values()),
        "floor": {
            "what": "a bare asyncio script that posts the same manifests",
            "value": _summary(bare_times, bare_rush),
        },
        "ratios": {name: round(ratio, 2) for name, ratio in ratios.items()},
        "each_kept": kept,
    }


def _summary(times: dict[str, dict[str, float]], rush: Rush) -> str:
    accepted, ready = times["accepted"]["p50"], times["ready"]["p50"]
    return f"{accepted:.0f} and {ready:.0f} ms; {rush.rate:.1f}/s"
