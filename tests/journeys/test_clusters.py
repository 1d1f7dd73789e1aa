"""Real clusters on the local site, used as users use them."""

import json
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.journeys.kernel import Kernel, page
from tests.journeys.service import Slipway, processes_of, wait_for
from tests.provisioners.local.test_runtimes import wheel

pytestmark = [pytest.mark.local, pytest.mark.timeout(1800), pytest.mark.xdist_group("journeys")]

TOTAL = 49999995000000
SUM = 'print(spark.range(10**7).selectExpr("sum(id)").first()[0])'
# Long enough to see every change of the cluster, in tasks short enough to be finished while workers leave.
LONG_JOB = """
import time
def slow(rows):
    time.sleep(0.5)
    return [sum(rows)]
print(sum(spark.sparkContext.parallelize(range(10**6), {parts}).mapPartitions(slow).collect()))
"""


def test_a_notebook_computes_on_its_own_spark_cluster_and_keeps_its_files(slipway: Slipway) -> None:
    cluster = slipway.launch("nb", "spark-notebook")
    kernel = Kernel(page(cluster, "notebook"))
    assert int(kernel.run(SUM)) == TOTAL
    kernel.save("work.ipynb", "spark.range(3).count()")
    slipway.post("/tenants/demo/clusters/nb:stop")
    slipway.wait("nb", "stopped")
    assert not processes_of(cluster["id"])
    slipway.post("/tenants/demo/clusters/nb:start")
    again = Kernel(page(slipway.wait("nb", "ready"), "notebook"))
    assert again.read("work.ipynb") == "spark.range(3).count()"
    slipway.delete("nb")


def test_the_page_of_a_session_is_listed_while_there_is_a_session(slipway: Slipway) -> None:
    path = "/tenants/demo/clusters/jobs"
    kernel = Kernel(page(slipway.launch("jobs", "spark-notebook"), "notebook"))
    assert jobs_page(slipway, path) == (None, True)
    assert "spark-jobs" not in scraped(slipway, "jobs")
    kernel.run(SUM)
    url, idle = jobs_page(slipway, path)
    assert not idle
    assert httpx.get(url, timeout=60, follow_redirects=True).status_code == 200
    assert "spark-jobs" in scraped(slipway, "jobs")
    slipway.delete("jobs")


def jobs_page(slipway: Slipway, path: str) -> tuple[Any, bool]:
    [found] = [one for one in slipway.get(path)["services"] if one["name"] == "spark-jobs"]
    return found["url"], found["idle"]


def scraped(slipway: Slipway, cluster: str) -> set[str]:
    """The services of a cluster that Prometheus scrapes."""
    labels = [target["labels"] for target in slipway.call("GET", "/tenants/demo/targets").json()]
    return {label["slipway_service"] for label in labels if label["slipway_cluster"] == cluster}


def test_a_job_survives_growing_and_shrinking_and_the_report_is_true(slipway: Slipway) -> None:
    kernel = Kernel(page(slipway.launch("elastic", "spark-notebook"), "notebook"))
    printed: list[str] = []
    job = threading.Thread(target=lambda: printed.append(kernel.run(LONG_JOB.format(parts=80), seconds=600)))
    job.start()
    slipway.post("/tenants/demo/clusters/elastic:resize", {"groups": {"worker": {"count": 4}}})
    slipway.wait("elastic", "ready")
    slipway.post(
        "/tenants/demo/clusters/elastic:resize", {"groups": {"worker": {"count": 1}}, "drain_seconds": 120}
    )
    cluster = slipway.wait("elastic", "ready", seconds=240)
    job.join(600)
    assert int(printed[0]) == sum(range(10**6))
    report = slipway.get(f"/tenants/demo/operations/{cluster['operation']['id']}")["report"]
    assert len(report) == 3
    alive = {node["name"] for node in slipway.get("/tenants/demo/clusters/elastic/nodes")["items"]}
    assert not alive & {entry["node"] for entry in report}
    for entry in report:
        assert entry["outcome"] == "drained"
        assert entry["executors_end"] == 0
    slipway.delete("elastic")


def test_a_second_engine_needs_no_code(slipway: Slipway) -> None:
    kernel = Kernel(page(slipway.launch("flock", "dask"), "notebook"))
    code = "import dask.array; print(int(dask.array.arange(10**7, chunks=10**6).sum().compute()))"
    assert int(kernel.run(code)) == TOTAL
    workers = kernel.run("print(len(client.scheduler_info()['workers']))")
    assert int(workers) == 2
    slipway.delete("flock")


def test_packages_installed_in_a_notebook_reach_only_its_own_workers(
    slipway: Slipway, tmp_path: Path
) -> None:
    package = wheel(tmp_path)
    kernel = Kernel(page(slipway.launch("mine", "spark-notebook"), "notebook"))
    kernel.run(f"%pip install --no-index {package}")
    kernel.run("import tiny")
    worker = "lambda number: __import__('tiny').__file__"
    print_it = f"print(spark.sparkContext.parallelize([1], 1).map({worker}).first())"
    assert "/packages/" in kernel.run(print_it)
    other = Kernel(page(slipway.launch("theirs", "spark-notebook"), "notebook"))
    with pytest.raises(AssertionError, match="No module named 'tiny'"):
        other.run("import tiny")
    slipway.delete("mine")
    slipway.delete("theirs")


def test_files_in_shared_are_visible_to_other_clusters_of_the_tenant(slipway: Slipway) -> None:
    one = Kernel(page(slipway.launch("giver", "notebook"), "notebook"))
    one.run("open('shared/model.json', 'w').write('[1, 2]')")
    other = Kernel(page(slipway.launch("taker", "notebook"), "notebook"))
    assert json.loads(other.run("print(open('shared/model.json').read())")) == [1, 2]
    slipway.delete("giver")
    slipway.delete("taker")


def test_a_killed_process_is_noticed_and_replaced(slipway: Slipway) -> None:
    cluster = slipway.launch("phoenix", "notebook")
    [attempt] = processes_of(cluster["id"])
    _kill_all(attempt)
    wait_for("new attempt", lambda: set(processes_of(cluster["id"])) - {attempt}, seconds=30)
    slipway.wait("phoenix", "ready", seconds=60)
    events = slipway.get("/tenants/demo/clusters/phoenix/events")["items"]
    assert "NODE_ENDED" in {event["kind"] for event in events}
    slipway.delete("phoenix")


def _kill_all(attempt: str) -> None:
    import os
    import signal

    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found = f"SLIPWAY_NODE={attempt}".encode() in (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if found and b"launcher" not in (entry / "cmdline").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)


def test_the_log_of_a_node_can_be_read_while_it_runs_and_after(slipway: Slipway) -> None:
    slipway.launch("talker", "notebook")
    path = "/tenants/demo/clusters/talker/nodes/notebook-0/logs?tail=50"
    assert "Jupyter Server" in slipway.call("GET", path).text
    slipway.post("/tenants/demo/clusters/talker:stop")
    slipway.wait("talker", "stopped")
    assert "Jupyter Server" in slipway.call("GET", path).text
    slipway.delete("talker")


def test_a_deleted_cluster_leaves_nothing(slipway: Slipway) -> None:
    cluster = slipway.launch("gone", "notebook")
    slipway.delete("gone")
    assert not processes_of(cluster["id"])
    assert not list(slipway.folder.glob(f"sites/local/clusters/*{cluster['id']}*"))
    usage = slipway.get("/tenants/demo/usage")
    assert not usage["holders"]
