"""A real Spark cluster with its notebook, from the files that ship."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import httpx
import pytest

from controlplane.provisioners.base import DrainOutcome
from templates.catalog import FOLDER
from tests.apps.running import Running, running
from tests.journeys.kernel import Kernel
from tests.provisioners.launching import until

pytestmark = [pytest.mark.local, pytest.mark.timeout(1800), pytest.mark.xdist_group("spark")]

TOTAL = 49999995000000
SUM = 'print(spark.range(10**7).selectExpr("sum(id)").first()[0])'
# Leaves cached and shuffled blocks on both workers.
HELD = """
import time
sc = spark.sparkContext
held = sc.range(200000, numSlices=8).map(lambda number: (number % 100, number)).cache()
while sc._jsc.sc().getExecutorMemoryStatus().size() < 3:
    held.reduceByKey(lambda one, other: one + other, 8).count()
held.reduceByKey(lambda one, other: one + other, 8).count()
"""
SLOW = """
print("held", flush=True)
def slow(number):
    time.sleep(1)
    return number
print(sc.range(24, numSlices=24).map(slow).sum())
"""


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(
        tmp_path_factory.mktemp("spark"), "spark", {"master": 1, "worker": 2, "notebook": 1}
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def kernel(spark: Running) -> Kernel:
    return Kernel(spark.page("notebook-0", 8888))


def test_the_first_cell_of_a_notebook_computes_on_the_cluster(spark: Running):
    fresh = Kernel(spark.page("notebook-0", 8888))
    assert int(fresh.run(SUM).split()[-1]) == TOTAL
    assert (
        fresh.run("print(spark.sparkContext.master)").strip() == f"spark://{spark.address('master-0')}:7077"
    )
    assert fresh.run(
        "from pyspark.sql import SparkSession\nprint(SparkSession.getActiveSession() is spark)"
    ) == ("True\n")
    fresh.api("DELETE", f"/api/kernels/{fresh.id}")


def test_no_secret_is_in_a_log_or_a_command_line(spark: Running, kernel: Kernel):
    kernel.run(SUM)
    httpx.get(f"http://{spark.address('notebook-0')}:8888/api/contents/none?token={spark.keys['notebook']}")
    assert spark.leaks() == []


def test_a_stopped_session_starts_again(kernel: Kernel):
    kernel.run("spark.stop()")
    assert int(kernel.run(SUM).split()[-1]) == TOTAL


def test_a_user_can_create_another_session(kernel: Kernel):
    kernel.run("spark.stop()")
    kernel.run("from pyspark.sql import SparkSession")
    kernel.run("spark = SparkSession.builder.appName('mine').getOrCreate()")
    assert kernel.run("print(spark.sparkContext.appName)") == "mine\n"


def test_a_job_is_submitted_and_says_which_workers_ran_it(spark: Running):
    printed = spark.enter(
        "notebook-0", "spark-submit", str(FOLDER / "spark" / "examples" / "sum.py")
    ).splitlines()
    assert printed[0] == f"sum {TOTAL}"
    assert len(set(printed[1:])) == 2
    assert all(line.startswith("worker worker-") for line in printed[1:])


def test_processes_listen_only_at_the_address_of_their_node(spark: Running, kernel: Kernel):
    kernel.run(SUM)
    for name in ("master-0", "worker-0", "worker-1"):
        assert spark.listening(name) == {spark.address(name)}
    # A kernel and its server use 127.0.0.1; their messages are signed.
    assert spark.listening("notebook-0") - {"127.0.0.1"} == {spark.address("notebook-0")}


def test_a_client_without_the_secret_is_refused(spark: Running):
    code = "from pyspark.sql import SparkSession; print(SparkSession.builder.getOrCreate().range(3).count())"
    wrong = f"--name stranger --conf spark.authenticate.secret={'0' * 64} pyspark-shell"
    with pytest.raises(AssertionError):
        spark.enter(
            "notebook-0", "env", f"PYSPARK_SUBMIT_ARGS={wrong}", "timeout", "20", "python3", "-c", code
        )
    right = "--name friend pyspark-shell"
    assert spark.enter("notebook-0", "env", f"PYSPARK_SUBMIT_ARGS={right}", "python3", "-c", code) == "3\n"
    state = httpx.get(f"http://{spark.address('master-0')}:8080/json/", timeout=20).json()
    names = {app["name"] for app in (*state["activeapps"], *state["completedapps"])}
    assert "friend" in names
    assert "stranger" not in names


def test_jobs_cannot_be_submitted_over_http(spark: Running):
    with pytest.raises(OSError, match="refused"):
        urlopen(f"http://{spark.address('master-0')}:6066/v1/submissions/status/x", timeout=5)


def test_no_secret_is_in_a_command_line(spark: Running):
    shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert not [name for name, key in spark.keys.items() if key in shown]


@pytest.mark.parametrize(
    ("name", "port", "path", "sign"),
    [
        ("master-0", 8080, "/metrics/master/prometheus/", "metrics_master_aliveWorkers_Value"),
        ("worker-0", 8081, "/metrics/prometheus/", "metrics_worker_coresFree_Value"),
        ("notebook-0", 4040, "/metrics/executors/prometheus/", "metrics_executor_"),
    ],
)
def test_metrics_can_be_scraped(spark: Running, kernel: Kernel, name: str, port: int, path: str, sign: str):
    kernel.run("spark.range(3).count()")
    with urlopen(f"http://{spark.address(name)}:{port}{path}", timeout=20) as answer:
        assert sign in answer.read().decode()


def test_idle_executors_are_released(tmp_path: Path):
    with running(
        tmp_path, "spark", {"master": 1, "worker": 1, "notebook": 1}, executor_idle_seconds=5
    ) as small:
        one, other = Kernel(small.page("notebook-0", 8888)), Kernel(small.page("notebook-0", 8888))
        assert int(one.run(SUM).split()[-1]) == TOTAL
        # The only core becomes free because the idle executor of the first session is removed.
        assert int(other.run(SUM).split()[-1]) == TOTAL


@contextmanager
def working(spark: Running) -> Iterator["subprocess.Popen[str]"]:
    """Runs a job with blocks on both workers, and yields once worker-1 executes a task."""
    entrance = spark.entrance("notebook-0")
    code = f"from pyspark.sql import SparkSession\nspark = SparkSession.builder.getOrCreate()\n{HELD}{SLOW}"
    command = [entrance, "python3", "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as job:
        assert job.stdout
        assert job.stdout.readline() == "held\n"
        until(lambda: spark.hook("worker-1", "busy")[0] == 0, 60)
        yield job
        job.kill()


def cached_blocks(spark: Running, worker: str) -> int:
    """Returns the number of cached blocks on a worker, from the API of the running driver."""
    for port in range(4040, 4050):
        with suppress(OSError):
            base = f"http://{spark.address('notebook-0')}:{port}/api/v1/applications"
            rows = httpx.get(f"{base}/{httpx.get(base).json()[0]['id']}/executors").json()
            blocks = [row["rddBlocks"] for row in rows if row["hostPort"].startswith(spark.address(worker))]
            if sum(blocks):
                return int(sum(blocks))
    return 0


def test_the_load_has_the_running_tasks(spark: Running):
    with working(spark):
        assert spark.hook("worker-1", "busy") == (0, {"tasks": 1, "executors": 1})
    until(lambda: spark.hook("worker-1", "busy") == (1, {"tasks": 0, "executors": 0}), 60)


def test_a_worker_that_leaves_finishes_its_tasks_and_moves_its_blocks(spark: Running):
    with working(spark) as job:
        cached = until(lambda: cached_blocks(spark, "worker-1"))
        report = spark.drain("worker-1")
        assert job.stdout
        assert job.stdout.read().split()[-1] == str(sum(range(24)))
    assert (report.outcome, report.executors_start, report.executors_end) == (DrainOutcome.DRAINED, 1, 0)
    assert (report.tasks_start, report.tasks_end) == (1, 0)
    # All cached blocks and some shuffled blocks moved.
    assert report.blocks_moved
    assert report.blocks_moved > cached
    spark.grow("worker", "worker-1")
    until(lambda: alive_workers(spark) == 2, 90)


def test_a_killed_master_comes_back_with_its_workers_and_sessions(spark: Running, kernel: Kernel):
    assert int(kernel.run(SUM).split()[-1]) == TOTAL
    spark.kill("master-0")
    spark.grow("master", "master-0")
    until(lambda: alive_workers(spark) == 2, 60)
    assert int(kernel.run(SUM).split()[-1]) == TOTAL


def test_a_restart_of_all_nodes_does_not_wait_for_old_workers(tmp_path: Path):
    with running(tmp_path, "spark", {"master": 1, "worker": 1}, notebook=False) as small:
        small.restart_all()
        assert "New state: ALIVE" in small.here.output(small._folder("master-0"))
        assert alive_workers(small) == 1


def test_the_next_run_does_not_wait_for_old_workers(tmp_path: Path):
    with running(tmp_path, "spark", {"master": 1, "worker": 1}, notebook=False) as small:
        small.restart()
        assert small.hook("master-0", "info")[1]["workers"] == 1
        assert small.site.look(small.wish.cluster, ()).nodes[0].run == 2


CONNECT = """
import sys
from slipway_connect import session
spark = session(sys.argv[1], sys.argv[2])
print(spark.range(10**6).selectExpr("sum(id)").first()[0])
"""


def test_connect_and_history_can_be_switched_on(tmp_path: Path):
    counts = {"master": 1, "worker": 1, "history": 1, "connect": 1}
    with running(tmp_path, "spark", counts, notebook=False, history=True, connect=True) as both:
        endpoint = f"{both.address('connect-0')}:15002"
        command = ("python3", "-c", CONNECT, endpoint)
        assert int(both.enter("connect-0", *command, both.keys["connect"])) == sum(range(10**6))
        with pytest.raises(AssertionError, match="UNAUTHENTICATED"):
            both.enter("connect-0", *command, "0" * 64)
        for name in ("connect-0", "history-0"):
            assert both.listening(name) == {both.address(name)}
        until(lambda: "Spark Connect" in recorded(both), 60)


def recorded(cluster: Running) -> set[str]:
    """Returns the names of the applications that the history server shows."""
    url = f"http://{cluster.address('history-0')}:18080/api/v1/applications"
    return {app["name"] for app in httpx.get(url, timeout=20).json()}


def alive_workers(spark: Running) -> int:
    code, answer = spark.hook("master-0", "info")
    return int(answer["workers"]) if code == 0 else 0
