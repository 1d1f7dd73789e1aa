"""How long a Spark cluster with two workers takes, against a bare script that starts the same processes.

The script copies the commands, environments and configuration files of a cluster's nodes, starts all processes at
once, and waits until the master has registered both workers. Slipway and the script take turns.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from installation import RunningInstallation, fetch, installed, seconds_until

ROUNDS = 5
WORKERS = 2
GOAL, GOAL_RATIO = 10.0, 1.3
UI_PORT = 8080


@dataclass
class NodeProcess:
    command: list[str]
    environment: dict[str, str]
    cwd: str
    address: str
    is_master: bool


def measure() -> dict[str, Any]:
    ours, bare = [], []
    with installed() as installation, installation.running() as running:
        folder = installation.data.parent / "bare"
        nodes = _copy_of_a_cluster(running, folder)
        _bare(nodes, folder)
        for number in range(ROUNDS):
            ours.append(_ours(running, f"round-{number}"))
            bare.append(_bare(nodes, folder))
    ratio = median(ours) / median(bare)
    return {
        "what": "seconds from POST to a Spark cluster with two workers, ready",
        "value": round(median(ours), 2),
        "goal": f"<= {GOAL:g}, and <= {GOAL_RATIO} x the floor",
        "kept": median(ours) <= GOAL and ratio <= GOAL_RATIO,
        "floor": {"what": "a bare script with the same commands", "value": round(median(bare), 2)},
        "ratio": round(ratio, 2),
        "rounds": {"ours": [round(one, 2) for one in ours], "bare": [round(one, 2) for one in bare]},
    }


def _ours(running: RunningInstallation, name: str) -> float:
    began = time.perf_counter()
    cluster = running.launch(name, "spark")
    elapsed = time.perf_counter() - began
    address = next(service["address"] for service in cluster["services"] if service["name"] == "spark-master")
    alive = _alive(address.split(":")[0])
    running.delete(name)
    if alive != WORKERS:
        raise RuntimeError(f"ready with {alive} workers")
    return elapsed


def _bare(nodes: list[NodeProcess], folder: Path) -> float:
    # Like in a new cluster, the master has no stored state.
    for memory in folder.glob("home/*/.spark-master"):
        shutil.rmtree(memory)
    master = next(node.address for node in nodes if node.is_master)
    began = time.perf_counter()
    processes = [
        subprocess.Popen(
            node.command, env=node.environment, cwd=node.cwd, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for node in nodes
    ]  # fmt: skip
    try:
        return seconds_until(lambda: _alive(master) == WORKERS, "the bare cluster does not come up", began)
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _alive(address: str) -> int:
    status, body = fetch(address, UI_PORT, "/json/")
    # A master that is just starting answers with an empty page.
    return int(json.loads(body)["aliveworkers"]) if status == 200 and body.startswith(b"{") else 0


def _copy_of_a_cluster(running: RunningInstallation, folder: Path) -> list[NodeProcess]:
    """Launch a cluster, copy the files of its nodes, and delete it. Returns the nodes."""
    cluster = running.launch("pattern", "spark")
    original = running.data / "sites" / "local" / "clusters" / cluster["id"]
    shutil.copytree(original, folder, symlinks=True, ignore=_sockets)
    running.delete("pattern")
    for path in folder.rglob("conf/*"):
        if path.is_file():
            path.write_text(path.read_text().replace(str(original), str(folder)))
    return [_node(path, original, folder) for path in sorted(folder.glob("runs/*/*/spec.json"))]


def _sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if (Path(folder) / name).is_socket()]


def _node(spec: Path, original: Path, folder: Path) -> NodeProcess:
    read = json.loads(spec.read_text().replace(str(original), str(folder)))
    temporary = folder / "tmp" / spec.parent.name
    temporary.mkdir(parents=True)
    environment = read["env"] | {"TMPDIR": str(temporary)}
    is_master = spec.parent.name.startswith("master")
    return NodeProcess(read["command"], environment, read["cwd"], read["address"], is_master)
