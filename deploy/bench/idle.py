"""Processor time and memory of all processes of `up`, without users and without clusters."""

import time
from typing import Any

from installation import installed
from stats import by_name, cpu_seconds, family, process_name, pss_mib

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
        cpu = {pid: cpu_seconds([pid]) - start for pid, start in before.items()}
        memory = pss_mib(family(running.process.pid))
        names = {pid: process_name(pid) for pid in before}
    percent, mib = 100 * sum(cpu.values()) / elapsed, sum(memory.values())
    return {
        "what": "percent of a core and MiB of memory, idle",
        "value": f"{percent:.2f} % and {mib:.0f} MiB",
        "goal": f"<= {GOAL_PERCENT:g} % and <= {GOAL_MIB} MiB",
        "kept": percent <= GOAL_PERCENT and mib <= GOAL_MIB,
        "seconds": SECONDS,
        "percent": by_name(names, {pid: 100 * one / elapsed for pid, one in cpu.items()}),
        "mib": by_name(names, memory),
    }
