"""What `up` costs while nobody uses it and it has no clusters: processor and memory of all its processes."""

import time
from pathlib import Path
from typing import Any

from installation import installed
from stats import cpu_seconds, family, pss_mib

SETTLE_SECONDS = 20
SECONDS = 60
GOAL_PERCENT, GOAL_MIB = 2.0, 600


def measure() -> dict[str, Any]:
    with installed(runtimes=False) as installation, installation.running() as running:
        time.sleep(SETTLE_SECONDS)
        before = {pid: cpu_seconds([pid]) for pid in family(running.process.pid)}
        began = time.monotonic()
        time.sleep(SECONDS)
        elapsed = time.monotonic() - began
        spent = {pid: cpu_seconds([pid]) - start for pid, start in before.items()}
        memory = pss_mib(family(running.process.pid))
        names = {pid: _name(pid) for pid in before}
    percent, mib = 100 * sum(spent.values()) / elapsed, sum(memory.values())
    return {
        "what": "percent of a core and MiB of memory, idle",
        "value": f"{percent:.2f} % and {mib:.0f} MiB",
        "goal": f"<= {GOAL_PERCENT:g} % and <= {GOAL_MIB} MiB",
        "kept": percent <= GOAL_PERCENT and mib <= GOAL_MIB,
        "seconds": SECONDS,
        "percent": _by_name(names, {pid: 100 * one / elapsed for pid, one in spent.items()}),
        "mib": _by_name(names, memory),
    }


def _by_name(names: dict[int, str], values: dict[int, float]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for pid, value in values.items():
        name = names.get(pid, "other")
        sums[name] = sums.get(name, 0) + value
    return {name: round(value, 2) for name, value in sorted(sums.items(), key=lambda item: -item[1])}


def _name(pid: int) -> str:
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
