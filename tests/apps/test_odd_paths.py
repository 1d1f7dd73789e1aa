"""Jobs, tables, event logs and remote sessions of Spark work in a data directory with an odd name."""

from pathlib import Path

import pytest

from tests.apps.running import CACHE, Running, running
from tests.apps.test_spark import CONNECT, recorded
from tests.provisioners.launching import until

pytestmark = [pytest.mark.local, pytest.mark.timeout(1800), pytest.mark.xdist_group("spark")]

JOB = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.appName("odd").getOrCreate()
print(spark.sparkContext.range(100, numSlices=2).map(lambda number: number * 2).sum())
spark.range(10).write.mode("overwrite").saveAsTable("ten")
print(spark.table("ten").count())
"""
ODD = 'it\'s "a" 100%41 #1 $x ü'


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with an odd name, which also contains the runtimes."""
    folder = tmp_path / ODD
    folder.mkdir()
    (folder / "runtimes").symlink_to(CACHE)
    monkeypatch.setenv("SLIPWAY_RUNTIME_CACHE", str(folder / "runtimes"))
    return folder


def test_spark_works_in_an_odd_folder(odd: Path):
    counts = {"master": 1, "worker": 1, "history": 1, "connect": 1}
    with running(odd, "spark", counts, notebook=False, history=True, connect=True) as cluster:
        run_job(cluster)
        endpoint = f"{cluster.address('connect-0')}:15002"
        command = ("python3", "-c", CONNECT, endpoint, cluster.keys["connect"])
        assert int(cluster.enter("connect-0", *command)) == sum(range(10**6))
        until(lambda: {"odd", "Spark Connect"} <= recorded(cluster), 60)


def run_job(cluster: Running) -> None:
    job = cluster._folder("master-0").home / "a job.py"
    job.write_text(JOB)
    assert cluster.enter("master-0", "spark-submit", str(job)).split() == ["9900", "10"]
