"""Sessions in a notebook: none exists before its first use, and it has all the settings that were requested."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.apps.running import Running, running
from tests.journeys.kernel import Kernel

pytestmark = [pytest.mark.local, pytest.mark.timeout(1800), pytest.mark.xdist_group("spark")]

REQUESTED = {"spark.driver.memory": "800m", "spark.flavour": "mine"}
BUILDER = "from pyspark.sql import SparkSession\n"
# Prints the heap option of the driver's JVM and one setting of the session.
SHOW = """
from pyspark import SparkContext
beans = SparkContext._jvm.java.lang.management.ManagementFactory
heaps = [word for word in beans.getRuntimeMXBean().getInputArguments() if word.startswith("-Xmx")]
print(heaps[-1], spark.sparkContext.getConf().get("spark.flavour"))
"""
SPELLINGS = {
    "tutorial": BUILDER
    + "spark = SparkSession.builder.appName('t').config('spark.driver.memory', '800m')"
    + ".config('spark.flavour', 'mine').getOrCreate()",
    "another-name": f"print('spark')\n{BUILDER}s = SparkSession.builder.config(map={REQUESTED}).getOrCreate()",
    "from-the-name": f"spark.builder.config(map={REQUESTED}).getOrCreate()",
    "context": "from pyspark import SparkConf, SparkContext\n"
    f"sc = SparkContext(conf=SparkConf().setAll({list(REQUESTED.items())}))",
    "submit-arguments": "import os\nfrom pyspark import SparkContext\nos.environ['PYSPARK_SUBMIT_ARGS'] = "
    "'--driver-memory 800m --conf spark.flavour=mine pyspark-shell'\nSparkContext.getOrCreate()",
}
IVY = """<ivysettings><settings defaultResolver="here"/><resolvers><filesystem name="here" m2compatible="true">
<artifact pattern="{0}/[artifact]-[revision].[ext]"/><ivy pattern="{0}/[artifact]-[revision].pom"/>
</filesystem></resolvers></ivysettings>"""
POM = """<project><modelVersion>4.0.0</modelVersion><groupId>org.example</groupId>
<artifactId>greeting</artifactId><version>1.0</version></project>"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    counts = {"master": 1, "worker": 1, "notebook": 1}
    with running(tmp_path_factory.mktemp("sessions"), "spark", counts) as cluster:
        yield cluster


@pytest.fixture
def kernel(cluster: Running) -> Iterator[Kernel]:
    kernel = Kernel(cluster.page("notebook-0", 8888))
    yield kernel
    kernel.end()


def applications(cluster: Running) -> list[dict[str, Any]]:
    url = f"http://{cluster.address('master-0')}:8080/json/"
    found: list[dict[str, Any]] = httpx.get(url, timeout=20).json()["activeapps"]
    return found


@pytest.mark.parametrize("cell", SPELLINGS.values(), ids=SPELLINGS)
def test_the_first_cell_gets_the_session_it_asks_for(kernel: Kernel, cell: str):
    kernel.run(cell)
    assert kernel.run(SHOW) == "-Xmx800m mine\n"


def test_packages_requested_in_the_first_cell_are_loaded(kernel: Kernel, tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "greeting-1.0.jar", "w") as jar:
        jar.writestr("greeting.txt", "hello")
    (tmp_path / "greeting-1.0.pom").write_text(POM)
    (tmp_path / "ivy.xml").write_text(IVY.format(tmp_path))
    settings = {"spark.jars.packages": "org.example:greeting:1.0", "spark.jars.ivy": str(tmp_path / "ivy")}
    settings["spark.jars.ivySettings"] = str(tmp_path / "ivy.xml")
    kernel.run(f"{BUILDER}spark = SparkSession.builder.config(map={settings}).getOrCreate()")
    assert "greeting-1.0.jar" in kernel.run("print(spark.sparkContext._jsc.sc().listJars())")


def test_a_session_starts_at_its_first_use_and_not_before(cluster: Running, kernel: Kernel):
    before = {app["id"] for app in applications(cluster)}
    code = "print(spark, isinstance(spark, SparkSession), isinstance(sc, SparkContext))"
    said = kernel.run(f"{BUILDER}from pyspark import SparkContext\n{code}")
    assert said == "<SparkSession: starts when it is first used> True True\n"
    kernel.run("def count():\n    return spark.range(3).count()\nother = spark")
    assert not {app["id"] for app in applications(cluster)} - before
    assert "3" in kernel.run("%time print(count())")
    same = "spark is other, spark is SparkSession.getActiveSession(), sc is spark.sparkContext"
    assert kernel.run(f"print({same})") == "True True True\n"


def test_a_stopped_session_leaves_no_settings(kernel: Kernel):
    kernel.run("spark.version")
    kernel.run(f"{BUILDER}spark.stop()\nspark = SparkSession.builder.config(map={REQUESTED}).getOrCreate()")
    assert kernel.run(SHOW) == "-Xmx800m mine\n"


def test_a_running_session_names_the_settings_that_it_ignores(kernel: Kernel):
    kernel.run("spark.version")
    settings = {"spark.driver.memory": "800m", "spark.sql.shuffle.partitions": "7"}
    said = kernel.run(f"{BUILDER}SparkSession.builder.config(map={settings}).getOrCreate()")
    assert "does not take spark.driver.memory=800m. To have them, call spark.stop() first" in said
    assert kernel.run("print(spark.conf.get('spark.sql.shuffle.partitions'))") == "7\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("spark.driver.memory", "does not fit into this node, which has 1536 MiB for drivers"),
        ("spark.executor.memory", "no worker can hold an executor of 65536 MiB and 1 cores"),
    ],
)
def test_too_much_memory_is_refused_with_the_limit(kernel: Kernel, name: str, message: str):
    with pytest.raises(AssertionError, match=message):
        kernel.run(f"{BUILDER}SparkSession.builder.config('{name}', '64g').getOrCreate()")
    assert kernel.run("print(spark.range(3).count())").split()[-1] == "3"
