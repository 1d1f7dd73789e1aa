"""kill -9 of Slipway's own processes in the middle of every operation, one at a time and all at once.

When the supervisor was killed, the test runs `up` again. The cluster then reaches its goal, each node has one attempt,
and no process of an ended node is left.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.journeys import engine
from tests.journeys.service import ROOT, Slipway, processes_of, wait_for

pytestmark = [pytest.mark.local, pytest.mark.timeout(900), pytest.mark.xdist_group("kills")]

VICTIMS = {
    "web": ("web",),
    "worker": ("worker",),
    "database": ("postgres",),
    "supervisor": ("supervisor",),
    "all": ("supervisor", "web", "worker", "postgres"),
}
CLUSTERS = "/tenants/demo/clusters"


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slipway]:
    service = Slipway(tmp_path_factory.mktemp("kills") / "data").up()
    environment = service.database_environment()
    subprocess.run([sys.executable, "-m", "tests.journeys.engine"], cwd=ROOT, env=environment, check=True)
    service.post("/tenants/demo/templates", {"name": "sleepers", **engine.TEMPLATE})
    service.post("/tenants/demo/templates/sleepers:publish")
    yield service
    service.down()


def ask(service: Slipway, name: str, verb: str, body: Any = None) -> str:
    """Request the verb; return the id of the cluster, which stays valid when the name does not."""
    return str(service.post(f"{CLUSTERS}/{name}:{verb}", body)["id"])


def hands(service: Slipway, name: str, count: int) -> str:
    return ask(service, name, "resize", {"groups": {"hand": {"count": count}}, "drain_seconds": 10})


def launch(service: Slipway, name: str) -> str:
    return str(service.post(CLUSTERS, {"name": name, "template": "sleepers", "site": "local"})["id"])


def delete(service: Slipway, name: str) -> str:
    return str(service.call("DELETE", f"{CLUSTERS}/{name}").json()["id"])


# Operation -> (phase before it, the call that requests it, phase after it, number of nodes after it).
OPERATIONS: dict[str, tuple[str, Callable[[Slipway, str], str], str, int]] = {
    "create": ("", launch, "ready", 3),
    "stop": ("ready", lambda service, name: ask(service, name, "stop"), "stopped", 0),
    "start": ("stopped", lambda service, name: ask(service, name, "start"), "ready", 3),
    "restart": ("ready", lambda service, name: ask(service, name, "restart"), "ready", 3),
    "grow": ("ready", lambda service, name: hands(service, name, 4), "ready", 5),
    "shrink": ("ready", lambda service, name: hands(service, name, 1), "ready", 2),
    "delete": ("ready", delete, "deleted", 0),
}


def prepare(service: Slipway, name: str, phase: str) -> None:
    if phase:
        launch(service, name)
        service.wait(name, "ready")
    if phase == "stopped":
        service.post(f"{CLUSTERS}/{name}:stop")
        service.wait(name, "stopped")


def revive(service: Slipway, parts: tuple[str, ...]) -> None:
    """Wait for the supervisor to restart the killed processes; start a killed supervisor as a person would."""
    if "supervisor" in parts:
        service.ended()
        service.up()
    wait_for("answer", service.is_ready, seconds=60)


@pytest.mark.parametrize("who", VICTIMS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_accepted_operation_survives_a_killed_process(
    victim: Slipway, operation: str, who: str
) -> None:
    before, request, phase, nodes = OPERATIONS[operation]
    name = f"{operation}-{who}"
    prepare(victim, name, before)
    cluster_id = request(victim, name)
    victim.kill(*VICTIMS[who])
    revive(victim, VICTIMS[who])
    victim.wait(cluster_id, phase)
    wait_for("right number of processes", lambda: len(processes_of(cluster_id)) == nodes, seconds=20)
    names = [attempt.split("/")[1] for attempt in processes_of(cluster_id)]
    assert len(names) == len(set(names)), f"doubled: {names}"
    if phase != "deleted":
        victim.delete(cluster_id)
    assert not processes_of(cluster_id)
