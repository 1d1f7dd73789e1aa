"""Percentiles, processor time and memory of processes, and facts about the machine."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def milliseconds(values: Sequence[float]) -> dict[str, float]:
    return {
        name: round(1000 * percentile(values, share), 2)
        for name, share in {"p50": 0.5, "p95": 0.95, "p99": 0.99, "most": 1.0}.items()
    }


def machine() -> dict[str, Any]:
    total = next(
        line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal")
    )
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(total.split()[1]) / 2**20, 1),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def cpu_seconds(pids: Sequence[int]) -> float:
    """Returns the processor time of these processes' threads so far, in seconds, from the scheduler's statistics.

    The ticks of /proc/PID/stat miss threads that run for less than a tick.
    """
    total = 0.0
    for pid in pids:
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                total += int((task / "schedstat").read_text().split()[0]) / 1e9
        except FileNotFoundError:
            continue
    return total


def family(pid: int) -> list[int]:
    """Returns the ids of a process and all its descendants."""
    found, left = [], [pid]
    while left:
        one = left.pop()
        found.append(one)
        try:
            for task in Path(f"/proc/{one}/task").iterdir():
                left += [int(child) for child in (task / "children").read_text().split()]
        except FileNotFoundError:
            continue
    return found


def pss_mib(pids: Sequence[int]) -> dict[int, float]:
    """Returns the proportional memory of each process in MiB: shared pages count in parts."""
    sizes = {}
    for pid in pids:
        try:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    sizes[pid] = int(line.split()[1]) / 1024
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return sizes


def by_name(names: dict[int, str], values: dict[int, float]) -> dict[str, float]:
    """Returns the sum of the values of all processes with the same name, the largest first."""
    sums: dict[str, float] = {}
    for pid, value in values.items():
        name = names.get(pid, "other")
        sums[name] = sums.get(name, 0) + value
    return {name: round(value, 2) for name, value in sorted(sums.items(), key=lambda item: -item[1])}


def process_name(pid: int) -> str:
    """Returns the role of a process of `up`, from its command line."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except FileNotFoundError:
        return "other"
    line = " ".join(words)
    known = {
        "granian": "web",
        "manage.py worker": "worker",
        "manage.py up": "supervisor",
        "postgres": "postgres",
    }
    return next((name for part, name in known.items() if part in line), "other")
