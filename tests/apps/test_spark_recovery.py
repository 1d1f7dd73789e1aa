"""A master that is killed while sessions wait for executors."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.apps.running import running
from tests.apps.test_spark import alive_workers
from tests.journeys.kernel import Kernel
from tests.provisioners.launching import until

pytestmark = [pytest.mark.local, pytest.mark.timeout(1800), pytest.mark.xdist_group("spark")]

# Occupies the only core until a file exists.
HOLD = """
def hold(number):
    import os, time
    open({started!r}, "w").close()
    while not os.path.exists({free!r}):
        time.sleep(0.1)
    return number
print(spark.sparkContext.parallelize([1], 1).map(hold).sum())
"""

# One task needs one executor, so Spark requests no second one.
ONE = "print(spark.sparkContext.parallelize([41], 1).map(lambda number: number + 1).sum())"


def test_a_session_that_waited_for_an_executor_gets_one_from_the_next_master(tmp_path: Path):
    started, free = tmp_path / "started", tmp_path / "free"
    counts = {"master": 1, "worker": 1, "notebook": 1}
    with running(tmp_path, "spark", counts, executor_idle_seconds=5) as small, ThreadPoolExecutor() as beside:
        first, second = (Kernel(small.page("notebook-0", 8888)) for _ in range(2))
        holding = HOLD.format(started=str(started), free=str(free))
        held = beside.submit(first.run, holding, seconds=600)
        until(started.exists, 240)
        # The session has requested its first executor, and waits for the core.
        second.run("spark.version", seconds=240)
        small.kill("master-0")
        small.grow("master", "master-0")
        until(lambda: alive_workers(small) == 1, 120)
        waiting = beside.submit(second.run, ONE, seconds=600)
        free.touch()
        assert held.result().split()[-1] == "1"
        assert waiting.result(timeout=240).split()[-1] == "42"
