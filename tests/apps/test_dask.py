"""A real Dask cluster with its notebook, from the files that ship."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from controlplane.provisioners.base import DrainOutcome
from tests.apps.running import Running, running
from tests.journeys.kernel import Kernel
from tests.provisioners.launching import until

pytestmark = [pytest.mark.local, pytest.mark.timeout(1800), pytest.mark.xdist_group("dask")]

TOTAL = 49999995000000
SUM = "import dask.array as da\nprint(int(da.arange(10**7, chunks=10**6).sum().compute()))"
CONNECT = "import os, time\nfrom distributed import Client, wait\nclient = Client(os.environ['SLIPWAY_SCHEDULER'])\n"
# Leaves results on both workers, then runs tasks for some seconds so that a drain meets them.
WORK = """
held = client.map(lambda number: bytes(1000) + bytes([number]), range(8))
wait(held)
def slow(number):
    time.sleep(1)
    return number
slowly = client.map(slow, range(16))
print("held", flush=True)
print(sum(client.gather(slowly)), len(client.gather(held)))
"""
STRANGER = """
from distributed import Client, Security
own = Security.temporary()
try:
    Client("{scheduler}", security=own, timeout=5)
except OSError as error:
    print("refused")
"""


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    counts = {"scheduler": 1, "worker": 2, "notebook": 1}
    with running(tmp_path_factory.mktemp("dask"), "dask", counts) as cluster:
        yield cluster


def test_the_first_cell_computes_on_the_cluster_without_setup(dask: Running):
    kernel = Kernel(dask.page("notebook-0", 8888))
    assert int(kernel.run(SUM)) == TOTAL
    done = "print(sum(client.run(lambda dask_worker: dask_worker.state.transition_counter > 0).values()))"
    assert int(kernel.run(done)) == 2


def test_no_secret_is_in_a_log_or_a_command_line(dask: Running):
    httpx.get(f"http://{dask.address('notebook-0')}:8888/api/contents/none?token={dask.keys['notebook']}")
    assert dask.leaks() == []


def test_processes_listen_only_at_the_address_of_their_node(dask: Running):
    for name in ("scheduler-0", "worker-0", "worker-1"):
        assert dask.listening(name) == {dask.address(name)}


def test_a_client_with_other_keys_is_refused(dask: Running):
    scheduler = f"tls://{dask.address('scheduler-0')}:8786"
    assert (
        dask.enter("notebook-0", "python3", "-c", STRANGER.format(scheduler=scheduler)).strip() == "refused"
    )


def test_no_secret_is_in_a_command_line(dask: Running):
    shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert not [name for name, key in dask.keys.items() if key in shown]


def test_only_the_owner_can_read_the_keys(dask: Running):
    keys = dask.here.folder(dask.wish.cluster, "worker-0").work / "keys"
    assert {path.stat().st_mode & 0o777 for path in keys.iterdir()} == {0o600}


@contextmanager
def working(dask: Running) -> Iterator["subprocess.Popen[str]"]:
    """Runs a job with results on both workers, and yields once worker-1 executes a task."""
    entrance = dask.entrance("notebook-0")
    command = [entrance, "python3", "-c", CONNECT + WORK]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as job:
        assert job.stdout
        assert job.stdout.readline() == "held\n"
        until(lambda: dask.hook("worker-1", "busy")[0] == 0, 60)
        yield job
        job.kill()


def test_a_worker_that_leaves_finishes_its_task_and_moves_its_results(dask: Running):
    with working(dask) as job:
        report = dask.drain("worker-1")
        assert job.stdout
        # The drained worker still exists here, so tasks that waited at it must have moved to the other one.
        assert job.stdout.read().split() == [str(sum(range(16))), "8"]
    assert (report.outcome, report.tasks_end) == (DrainOutcome.DRAINED, 0)
    assert report.tasks_start
    assert report.blocks_moved
    assert (report.executors_start, report.executors_end) == (None, None)


def test_the_drain_of_the_last_worker_moves_nothing(dask: Running):
    keep = CONNECT + "held = client.submit(lambda: 42)\nwait(held)\nprint('held', flush=True)\ntime.sleep(60)"
    entrance = dask.entrance("notebook-0")
    with subprocess.Popen([entrance, "python3", "-c", keep], stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout
        job.stdout.readline()
        report = dask.drain("worker-0", seconds=5)
        job.kill()
    assert (report.outcome, report.blocks_moved) == (DrainOutcome.DEADLINE, 0)
