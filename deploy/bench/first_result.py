"""Settings by which a Spark session starts its executors: the time to a notebook's first result, and of a long job.

The cluster has two workers. The choices take turns on it, each in a new kernel with a new session.
"""

import time
from statistics import median
from typing import Any

from installation import installed

from tests.journeys.kernel import Kernel, page

ROUNDS = 3
SMALL = "-XX:-UsePerfData -XX:+ExitOnOutOfMemoryError"
ARCHIVE = "-XX:SharedArchiveFile={home}/spark.jsa -XX:+UnlockDiagnosticVMOptions -XX:ArchiveRelocationMode=0"
SERIAL = "-XX:+UseSerialGC"
C1 = "-XX:TieredStopAtLevel=1"
# Name -> seconds of backlog until Spark requests more executors, and Java options of executors beside the archive
CHOICES = {
    "1 s": (1, ""),
    "10 s": (10, ""),
    "10 s, serial, C1": (10, f"{SERIAL} {C1}"),
}
FIRST = """
import os
from pyspark.sql import SparkSession
home = os.environ["SPARK_HOME"]
spark = SparkSession.builder.config(map={settings}).config(
    "spark.executor.defaultJavaOptions", {options!r}.replace("{{home}}", home)).getOrCreate()
print(spark.range(10**7).selectExpr("sum(id)").first()[0])
"""
LONG = """
print(spark.range(0, 6 * 10**8, 1, 64).selectExpr("sum(hash(id, id + 1, id * 7) % 1000)").first()[0])
print(spark.sparkContext.range(4 * 10**6, numSlices=64).map(lambda number: number % 7).countByValue()[3])
"""


def measure() -> dict[str, Any]:
    firsts: dict[str, list[float]] = {name: [] for name in CHOICES}
    longs: dict[str, list[float]] = {name: [] for name in CHOICES}
    with installed() as installation, installation.running() as running:
        url = page(running.launch("first", "spark-notebook"), "notebook")
        _once(url, "1 s")
        for _ in range(ROUNDS):
            for name in CHOICES:
                first, long = _once(url, name)
                firsts[name].append(round(first, 2))
                longs[name].append(round(long, 2))
                print(name, first, long, flush=True)
        running.delete("first")
    return {
        "what": "seconds from a new kernel to a notebook's first result, and of a long job after it, by choice",
        "value": {name: f"{median(firsts[name]):.1f} and {median(longs[name]):.1f}" for name in CHOICES},
        "goal": "",
        "kept": True,
        "first": firsts,
        "long": longs,
    }


def _once(url: str, name: str) -> tuple[float, float]:
    seconds, options = CHOICES[name]
    settings = {
        "spark.dynamicAllocation.schedulerBacklogTimeout": f"{seconds}s",
        "spark.dynamicAllocation.sustainedSchedulerBacklogTimeout": "1s",
    }
    began = time.perf_counter()
    kernel = Kernel(url)
    try:
        kernel.run(
            FIRST.format(settings=settings, options=f"{ARCHIVE} {SMALL} {options}".strip()), seconds=300
        )
        first = time.perf_counter() - began
        began = time.perf_counter()
        kernel.run(LONG, seconds=600)
        return first, time.perf_counter() - began
    finally:
        kernel.api("POST", f"/api/kernels/{kernel.id}/interrupt")
        kernel.end()
