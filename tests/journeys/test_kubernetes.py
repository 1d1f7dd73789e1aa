"""Real clusters on real pods, used as their people use them."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.pods import Pods
from tests.journeys.service import Slipway, wait_for

pytestmark = [pytest.mark.kube, pytest.mark.timeout(1200)]

TOTAL = "49999995000000"
# All that a machine with two cores has room for.
SMALL = {"master": {"cpu": "250m"}, "worker": {"cpu": "500m"}, "notebook": {"cpu": "250m"}}
CLUSTERS = "/tenants/demo/clusters"
SUBMIT = ["sh", "-c", 'spark-submit "$SLIPWAY_DIR_APP/examples/sum.py"']
# Long enough to see every change of the cluster, in tasks short enough to be finished while workers leave.
LONG_JOB = """
import time
from pyspark.sql import SparkSession
def slow(rows):
    time.sleep(0.5)
    return [sum(rows)]
spark = SparkSession.builder.getOrCreate()
print(sum(spark.sparkContext.parallelize(range(10**6), 80).mapPartitions(slow).collect()))
"""


@pytest.fixture(scope="module")
def pods(kubeconfig: Path, images: None) -> Pods:
    return Pods(kubeconfig)


@pytest.fixture(scope="module")
def slipway(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slipway]:
    environment = {"KUBECONFIG": str(kubeconfig), "SLIPWAY_FETCH_RUNTIMES": "0"}
    service = Slipway(tmp_path_factory.mktemp("pods") / "data", environment).up()
    try:
        wait_for("site", lambda: _site(service)["ready"], seconds=60)
        yield service
        _leave(service)
    finally:
        service.down()


def _leave(service: Slipway) -> None:
    """As its admin would, so that another installation may have the Kubernetes."""
    for cluster in service.get(CLUSTERS)["items"]:
        service.delete(cluster["name"])
    assert service.call("DELETE", "/tenants/demo").status_code == 202
    wait_for("end of the tenant", lambda: service.call("GET", "/tenants/demo").status_code == 404, seconds=60)
    service.manage("site", "remove", "k8s")


def _site(service: Slipway) -> dict[str, Any]:
    found: dict[str, Any] = next(site for site in service.get("/sites")["items"] if site["name"] == "k8s")
    assert "another installation" not in found["message"], found
    return found


def test_a_job_runs_on_pods_and_the_cluster_stops_starts_and_goes_without_a_trace(
    slipway: Slipway, pods: Pods
) -> None:
    before = pods.everything()
    cluster = slipway.launch("spark", "spark-notebook", site="k8s", groups=SMALL)
    printed = pods.run(cluster, "notebook-0", SUBMIT)
    assert TOTAL in printed
    assert len({line for line in printed.splitlines() if line.startswith("worker ")}) == 2
    pods.run(cluster, "notebook-0", ["sh", "-c", "echo kept > $HOME/work.txt"])
    slipway.post(f"{CLUSTERS}/spark:stop")
    slipway.wait("spark", "stopped")
    assert not pods.of(cluster)
    slipway.post(f"{CLUSTERS}/spark:start")
    slipway.wait("spark", "ready")
    assert pods.run(cluster, "notebook-0", ["cat", "/home/slipway/work.txt"]) == "kept\n"
    slipway.delete("spark")
    # What a tenant has on a site stays as long as the tenant does.
    left = {item for item in pods.everything() - before if item[0] != "Namespace"}
    assert not {item for item in left if cluster["id"].replace("-", "") in item[2]}


def test_a_job_outlives_growing_and_shrinking_and_the_report_is_true(slipway: Slipway, pods: Pods) -> None:
    groups = {"master": SMALL["master"], "worker": {"count": 1, **SMALL["worker"]}}
    cluster = slipway.launch("elastic", "spark", site="k8s", groups=groups)
    script = f"cat > /tmp/job.py <<'END'\n{LONG_JOB}\nEND\nexec spark-submit /tmp/job.py"
    printed: list[str] = []
    job = threading.Thread(
        target=lambda: printed.append(pods.run(cluster, "master-0", ["sh", "-c", script], seconds=400))
    )
    job.start()
    slipway.post(f"{CLUSTERS}/elastic:resize", {"groups": {"worker": {"count": 3}}})
    slipway.wait("elastic", "ready")
    slipway.post(f"{CLUSTERS}/elastic:resize", {"groups": {"worker": {"count": 1}}, "drain_seconds": 120})
    done = slipway.wait("elastic", "ready", seconds=240)
    job.join(400)
    assert int(printed[0].splitlines()[-1]) == sum(range(10**6))
    report = slipway.get(f"/tenants/demo/operations/{done['operation']['id']}")["report"]
    assert [entry["outcome"] for entry in report] == ["drained", "drained"]
    assert {entry["executors_end"] for entry in report} == {0}
    slipway.delete("elastic")


def test_a_second_engine_is_data_alone(slipway: Slipway, pods: Pods) -> None:
    groups = {"scheduler": {"cpu": "250m"}, "worker": {"cpu": "500m"}, "notebook": {"cpu": "250m"}}
    cluster = slipway.launch("flock", "dask", site="k8s", groups=groups)
    code = (
        "import slipway_client, dask.array;print(int(dask.array.arange(10**7, chunks=10**6).sum().compute()))"
    )
    assert TOTAL in pods.run(cluster, "notebook-0", ["python", "-c", code])
    slipway.delete("flock")


def test_a_pod_that_somebody_deletes_is_replaced(slipway: Slipway, pods: Pods) -> None:
    cluster = slipway.launch("phoenix", "notebook", site="k8s")
    old = pods.of(cluster)["notebook-0"]["metadata"]
    pods.client.delete(f"/api/v1/namespaces/{old['namespace']}/pods/{old['name']}", grace=0)
    wait_for(
        "new pod",
        lambda: {pod["metadata"]["uid"] for pod in pods.of(cluster).values()} - {old["uid"], ""},
        seconds=60,
    )
    slipway.wait("phoenix", "ready")
    slipway.delete("phoenix")


def test_the_log_of_a_node_is_there_while_it_runs_and_after(slipway: Slipway, pods: Pods) -> None:
    slipway.launch("talker", "notebook", site="k8s")
    path = f"{CLUSTERS}/talker/nodes/notebook-0/logs?tail=50"
    assert "Jupyter Server" in slipway.call("GET", path).text
    slipway.post(f"{CLUSTERS}/talker:stop")
    slipway.wait("talker", "stopped")
    assert "Jupyter Server" in slipway.call("GET", path).text
    slipway.delete("talker")
