"""What people do in their first minutes with Spark, in one run: it shows Java which classes to keep at hand.

`local-cluster` starts a master and a worker in this driver and executors beside it, so one run meets the
classes of them all.
"""

import os
import urllib.request
from pathlib import Path

import pandas as pd
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it

SCRATCH = Path(os.environ["TRAIN_SCRATCH"])


def session() -> SparkSession:
    (SCRATCH / "events").mkdir()
    settings = {
        "spark.authenticate": "true",
        "spark.authenticate.secret": os.urandom(16).hex(),
        "spark.network.crypto.enabled": "true",
        "spark.master.rest.enabled": "false",
        "spark.decommission.enabled": "true",
        "spark.storage.decommission.enabled": "true",
        "spark.dynamicAllocation.enabled": "true",
        "spark.dynamicAllocation.shuffleTracking.enabled": "true",
        "spark.dynamicAllocation.initialExecutors": "1",
        "spark.executor.memory": "512m",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": (SCRATCH / "events").as_uri(),
        "spark.ui.port": "0",
        "spark.connect.grpc.binding.port": "0",
        "spark.metrics.conf.*.sink.prometheusServlet.class": "org.apache.spark.metrics.sink.PrometheusServlet",
        "spark.metrics.conf.*.sink.prometheusServlet.path": "/metrics/prometheus",
        "spark.executor.extraJavaOptions": f'"-XX:DumpLoadedClassList={SCRATCH}/executor-%p.classes"',
        "spark.sql.warehouse.dir": str(SCRATCH / "warehouse"),
    }
    builder = SparkSession.builder.master("local-cluster[1,1,512]").appName("train")
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def work(spark: SparkSession) -> None:
    spark.range(10**5).selectExpr("sum(id)").first()
    spark.sparkContext.parallelize(range(100), 2).map(lambda number: number + 1).sum()
    grouped = spark.range(1000).selectExpr("id % 10 k", "id v").groupBy("k")
    grouped.agg(F.sum("v"), F.avg("v")).orderBy("k").collect()
    people = spark.createDataFrame(pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"]}))
    people.show()
    people.toPandas()
    people.cache().count()
    files(spark, people)
    people.select(F.udf(lambda number: number * 2, "long")("a")).collect()
    people.select(F.pandas_udf(lambda column: column + 1, "long")("a")).collect()
    spark.sql("show tables").show()
    people.explain(True)


def files(spark: SparkSession, people: DataFrame) -> None:
    people.write.parquet(f"{SCRATCH}/p")
    again = spark.read.parquet(f"{SCRATCH}/p")
    again.createOrReplaceTempView("p")
    spark.sql("select b, count(*) c from p group by b").show()
    numbered = F.row_number().over(Window.partitionBy("b").orderBy("a"))
    again.join(people, ["a", "b"]).withColumn("row", numbered).collect()
    people.write.csv(f"{SCRATCH}/c", header=True)
    spark.read.csv(f"{SCRATCH}/c", header=True, inferSchema=True).count()
    people.write.json(f"{SCRATCH}/j")
    spark.read.json(f"{SCRATCH}/j").count()


def pages(spark: SparkSession) -> None:
    context = spark.sparkContext
    # Whatever proxy this machine has, it does not lead back here.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for path in ("/jobs/", "/executors/", "/metrics/prometheus/", "/api/v1/applications"):
        with direct.open(f"{context.uiWebUrl}{path}", timeout=20) as page:
            page.read()


def main() -> None:
    spark = session()
    work(spark)
    pages(spark)
    virtual_machine = spark.sparkContext._jvm
    virtual_machine.org.apache.spark.sql.connect.service.SparkConnectService.start(
        spark.sparkContext._jsc.sc()
    )
    virtual_machine.java.lang.Class.forName("org.apache.spark.deploy.history.HistoryServer")
    spark.stop()


if __name__ == "__main__":
    main()
