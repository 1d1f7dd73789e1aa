"""The commands of the README work. Only the data directory and the port are replaced."""

import os
import subprocess

import pytest

from tests.journeys.kernel import Kernel, page
from tests.journeys.service import Slipway, wait_for
from tests.up.readme import block

pytestmark = [pytest.mark.up, pytest.mark.timeout(900)]
TOTAL = 49999995000000
FIRST_CELL = """
from pyspark.sql import SparkSession

spark = SparkSession.builder.appName("first").config("spark.sql.shuffle.partitions", "7").getOrCreate()
people = spark.createDataFrame([("ann", 1), ("bob", 2), ("eve", 3)], ["name", "age"])
people.createOrReplaceTempView("people")
print(people.count(), spark.sql("SELECT sum(age) FROM people").first()[0])
print(spark.conf.get("spark.sql.shuffle.partitions"))
"""
UNDER_WAY = {"pending", "running"}


def _shell(up: Slipway, *blocks: str) -> str:
    """Run the blocks in one shell, after the blocks that prepare it."""
    here = [f"export DATA={up.folder}", f"export API={up.url}/api/v1"]
    begin = block("export DATA=").splitlines()
    defined = [line for line in begin[2:] if line.startswith(("export TOKEN", "slipway()", "field()"))]
    script = "\n".join(["set -euo pipefail", *here, *defined, *blocks])
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=False, env=up.environment(), timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def etl(up: Slipway) -> str:
    """The cluster that the README launches, once it is ready."""
    lines = block("export DATA=").splitlines()
    launch = next(index for index, line in enumerate(lines) if line.startswith("OPERATION="))
    said = _shell(up, *lines[launch:])
    assert '"steps"' in said
    up.wait("etl-1", "ready", seconds=900)
    return "etl-1"


def test_the_data_directory_and_the_address_are_the_defaults() -> None:
    from controlplane.standalone.installation.datadir import default_root
    from controlplane.standalone.up import Options

    lines = block("export DATA=")
    mine = str(default_root()).replace(os.path.expanduser("~/.local"), "~/.local")
    assert mine in lines.splitlines()[0]
    assert f"export API={Options(default_root()).url}/api/v1\n" in lines


def test_the_job_prints_its_sum_and_two_workers(up: Slipway, etl: str) -> None:
    said = _shell(up, block("CLUSTER="))
    assert str(TOTAL) in said


def test_the_first_cell_of_a_tutorial_runs_in_its_notebook(up: Slipway, etl: str) -> None:
    kernel = Kernel(page(up.cluster(etl), "notebook"))
    assert kernel.run(FIRST_CELL, seconds=300).split() == ["3", "6", "7"]


def test_a_cluster_is_resized_stopped_started_and_deleted(up: Slipway, etl: str) -> None:
    for line in block("slipway -X POST $API/tenants/demo/clusters/etl-1:resize").splitlines():
        said = _shell(up, line)
        assert '"operation"' in said, said
        wait_for("end of the operation", lambda: _rests(up), seconds=180)


def _rests(up: Slipway) -> bool:
    answer = up.call("GET", "/tenants/demo/clusters/etl-1")
    return answer.status_code == 404 or answer.json()["operation"]["state"] not in UNDER_WAY


@pytest.mark.parametrize("command", ["python3 manage.py doctor", "python3 manage.py --help"])
def test_the_commands_named_in_the_text_run(up: Slipway, command: str) -> None:
    done = up.command(*command.split()[2:], *(["--data-dir", str(up.folder)] if "doctor" in command else []))
    assert done.returncode == 0, done.stdout + done.stderr
