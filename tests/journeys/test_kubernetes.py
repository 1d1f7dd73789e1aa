"""Real clusters on a real Kubernetes, used as users use them."""

import threading

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
print(sum(spark.sparkContext.parallelize(range(10**6), 60).mapPartitions(slow).collect()))
"""


def test_a_job_runs_on_pods_and_the_cluster_stops_starts_and_leaves_nothing(
    on_pods: Slipway, pods: Pods
) -> None:
    before = pods.everything()
    cluster = on_pods.launch("spark", "spark-notebook", site="k8s", groups=SMALL)
    printed = pods.run(cluster, "notebook-0", SUBMIT)
    assert TOTAL in printed
    assert len({line for line in printed.splitlines() if line.startswith("worker ")}) == 2
    pods.run(cluster, "notebook-0", ["sh", "-c", "echo kept > $HOME/work.txt"])
    on_pods.post(f"{CLUSTERS}/spark:stop")
    on_pods.wait("spark", "stopped")
    assert not pods.of(cluster)
    on_pods.post(f"{CLUSTERS}/spark:start")
    on_pods.wait("spark", "ready")
    assert pods.run(cluster, "notebook-0", ["cat", "/home/slipway/work.txt"]) == "kept\n"
    on_pods.delete("spark")
    # The tenant's own objects on the site stay until the tenant is deleted.
    left = {item for item in pods.everything() - before if item[0] != "Namespace"}
    assert not {item for item in left if cluster["id"].replace("-", "") in item[2]}


def test_a_job_survives_growing_and_shrinking_and_the_report_is_true(on_pods: Slipway, pods: Pods) -> None:
    groups = {"master": SMALL["master"], "worker": {"count": 1, **SMALL["worker"]}}
    cluster = on_pods.launch("elastic", "spark", site="k8s", groups=groups)
    script = f"cat > /tmp/job.py <<'END'\n{LONG_JOB}\nEND\nexec spark-submit /tmp/job.py"
    printed: list[str] = []
    job = threading.Thread(
        target=lambda: printed.append(pods.run(cluster, "master-0", ["sh", "-c", script], seconds=400))
    )
    job.start()
    on_pods.post(f"{CLUSTERS}/elastic:resize", {"groups": {"worker": {"count": 3}}})
    on_pods.wait("elastic", "ready")
    on_pods.post(f"{CLUSTERS}/elastic:resize", {"groups": {"worker": {"count": 1}}, "drain_seconds": 120})
    done = on_pods.wait("elastic", "ready", seconds=240)
    job.join(400)
    assert int(printed[0].splitlines()[-1]) == sum(range(10**6))
    report = on_pods.get(f"/tenants/demo/operations/{done['operation']['id']}")["report"]
    assert [entry["outcome"] for entry in report] == ["drained", "drained"]
    assert {entry["executors_end"] for entry in report} == {0}
    on_pods.delete("elastic")


def test_a_second_engine_needs_no_code(on_pods: Slipway, pods: Pods) -> None:
    groups = {"scheduler": {"cpu": "250m"}, "worker": {"cpu": "500m"}, "notebook": {"cpu": "250m"}}
    cluster = on_pods.launch("flock", "dask", site="k8s", groups=groups)
    code = (
        "import slipway_client, dask.array;print(int(dask.array.arange(10**7, chunks=10**6).sum().compute()))"
    )
    assert TOTAL in pods.run(cluster, "notebook-0", ["python", "-c", code])
    on_pods.delete("flock")


def test_a_deleted_pod_is_replaced(on_pods: Slipway, pods: Pods) -> None:
    cluster = on_pods.launch("phoenix", "notebook", site="k8s")
    old = pods.of(cluster)["notebook-0"]["metadata"]
    pods.client.delete(f"/api/v1/namespaces/{old['namespace']}/pods/{old['name']}", grace=0)
    wait_for(
        "new pod",
        lambda: {pod["metadata"]["uid"] for pod in pods.of(cluster).values()} - {old["uid"], ""},
        seconds=60,
    )
    on_pods.wait("phoenix", "ready")
    on_pods.delete("phoenix")


def test_the_log_of_a_node_can_be_read_while_it_runs_and_after(on_pods: Slipway, pods: Pods) -> None:
    on_pods.launch("talker", "notebook", site="k8s")
    path = f"{CLUSTERS}/talker/nodes/notebook-0/logs?tail=50"
    assert "Jupyter Server" in on_pods.call("GET", path).text
    on_pods.post(f"{CLUSTERS}/talker:stop")
    on_pods.wait("talker", "stopped")
    assert "Jupyter Server" in on_pods.call("GET", path).text
    on_pods.delete("talker")
