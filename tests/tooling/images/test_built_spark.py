"""The additions of the Spark image: Java, S3A, and a class archive that makes JVMs start fast."""

import hashlib
import re

import pytest

from templates import locks
from tests.tooling.images.archives import Archive, certificates, public_authorities

pytestmark = [pytest.mark.kube, pytest.mark.timeout(1800)]

JARS = "opt/runtime/lib/python3.11/site-packages/pyspark/jars"
HOME = "/opt/runtime/spark"
CLASSES = f"{HOME}/conf/:{HOME}/jars/spark-classpath.jar"
JAVA = ["/opt/java/bin/java", "-cp", CLASSES, f"@{HOME}/java.opts"]
SHARED = [f"-XX:SharedArchiveFile={HOME}/spark.jsa", "-Xshare:on", "-Xlog:class+load"]
# The environment of nodes.
HERE = {
    "JAVA_HOME": "/opt/java",
    "SLIPWAY_DIR_APP": "/app",
    "SPARK_HOME": HOME,
    "SPARK_LOCAL_IP": "127.0.0.1",
    "SPARK_LOCAL_HOSTNAME": "127.0.0.1",
}
SESSION = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.master("local[1]").getOrCreate()
print("sum", spark.range(10**5).selectExpr("sum(id)").first()[0])
"""


def test_its_java_has_what_executors_compute_with(spark: Archive):
    modules = spark.run("/opt/java/bin/java", "--list-modules")
    assert {"jdk.incubator.vector@17", "jdk.zipfs@17"} <= set(
        re.findall(r"^[a-z.]+@\d+", modules, re.MULTILINE)
    )


def test_its_java_trusts_only_public_authorities(spark: Archive):
    keytool = ["/opt/java/bin/keytool", "-list", "-rfc", "-cacerts", "-storepass", "changeit"]
    trusted = certificates(spark.run(*keytool))
    assert len(trusted) > 100
    assert trusted <= public_authorities(spark.root)


def test_every_jar_for_s3_is_the_one_that_was_chosen(spark: Archive):
    lines = [line.split() for line in (locks.FOLDER / "spark.jars").read_text().splitlines()]
    for digest, name in lines:
        jar = spark.root / JARS / "{1}-{2}.jar".format(*name.split(":"))
        assert hashlib.sha256(jar.read_bytes()).hexdigest() == digest


def test_s3_is_on_the_class_path(spark: Archive):
    found = spark.run(
        *JAVA, "org.apache.hadoop.util.FindClass", "load", "org.apache.hadoop.fs.s3a.S3AFileSystem"
    )
    assert "Loaded org.apache.hadoop.fs.s3a.S3AFileSystem" in found


def test_the_archive_fits_the_files_that_ship(spark: Archive):
    said = spark.run(*JAVA, *SHARED, "org.apache.spark.deploy.master.Master", "--help", **HERE)
    sources = re.findall(r"org\.apache\.spark\S+ source: (.*)", said)
    # The other classes are lambdas, which every JVM generates itself.
    archived, read = sources.count("shared objects file"), sum(each.startswith("file:") for each in sources)
    assert archived > 100
    assert read < 0.1 * archived


def test_a_session_computes(spark: Archive):
    path = f"/app/bin:{spark.environment['PATH']}"
    assert "sum 4999950000" in spark.run("python", "-c", SESSION, PATH=path, **HERE)


def test_other_images_have_no_java(archive: Archive, spark: Archive):
    assert (archive is spark) == (archive.root / "opt/java/bin/java").exists()
