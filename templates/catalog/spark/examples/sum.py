"""Adds the numbers below ten million on the cluster; prints the sum and the ids of the workers that added.

spark-submit sum.py
"""

import json
import os
import time
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

from pyspark.sql import SparkSession

NUMBERS = 10**7
PARTS = 16
PATIENCE_SECONDS = 60


def add(numbers: Iterator[int]) -> Iterator[tuple[str, int]]:
    """The sum of one part, and the page of the worker whose executor this runs in: it says so in the environment."""
    yield urlsplit(os.environ["SPARK_LOG_URL_STDERR"]).netloc, sum(numbers)


def worker_ids() -> dict[str, str]:
    """The alive workers, as the master has them: page -> id."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"{os.environ['SPARK_MASTER_UI']}/json/", timeout=10) as answer:
        workers = json.load(answer)["workers"]
    return {
        urlsplit(worker["webuiaddress"]).netloc: worker["id"]
        for worker in workers
        if worker["state"] == "ALIVE"
    }


def main() -> None:
    workers = worker_ids()
    # Without this a session gets more executors once tasks have waited a second: this sum may be done by then.
    builder = SparkSession.builder.config("spark.dynamicAllocation.minExecutors", len(workers))
    spark = builder.appName("sum").getOrCreate()
    numbers = spark.sparkContext.range(NUMBERS, numSlices=PARTS)
    deadline = time.monotonic() + PATIENCE_SECONDS
    # The first sum may be done before the last worker's executor is there.
    while True:
        parts = numbers.mapPartitions(add).collect()
        pages = {page for page, _ in parts}
        if pages >= workers.keys() or time.monotonic() > deadline:
            break
    print("sum", sum(part for _, part in parts))
    for page in sorted(pages):
        print("worker", workers.get(page, page))
    spark.stop()


if __name__ == "__main__":
    main()
