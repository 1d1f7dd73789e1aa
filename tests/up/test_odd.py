"""`up` in an environment with misleading variables, folders and modules."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.service import Slipway, free_port
from tests.up.clone import PYTHON, clone_into
from tests.up.conftest import FIRST_START_SECONDS

pytestmark = [pytest.mark.up, pytest.mark.timeout(900)]
# Nothing listens there, so any use of a proxy or another database would fail.
NOWHERE = f"http://127.0.0.1:{free_port()}"
DATA = "data with a space"


@pytest.fixture(scope="module")
def odd(place: Path) -> Iterator[Slipway]:
    folder = place / "a clone, with ü"
    misleading = place / "misleading"
    misleading.mkdir()
    for name in ("django", "yaml"):
        (misleading / f"{name}.py").write_text("raise SystemExit('a module of another project')\n")
    environment = {
        # A failing probe is then reported while the job runs.
        "SLIPWAY_PROBE_PATIENCE": "30",
        # Packages come from pip's cache or its index; through these proxies they could not.
        **dict.fromkeys(("http_proxy", "HTTP_PROXY", "ftp_proxy"), NOWHERE),
        "PIP_USER": "1",
        "PIP_TARGET": str(place / "target"),
        "PIP_REQUIRE_VIRTUALENV": "1",
        "LC_ALL": "C",
        "LANG": "C",
        "PGHOST": "nowhere.example",
        "PGUSER": "somebody",
        "PGPASSWORD": "x",
        "PGSERVICE": "none",
        "DJANGO_SETTINGS_MODULE": "another.settings",
        "PYTHONPATH": str(misleading),
        "PYTHONSTARTUP": str(misleading / "django.py"),
        "PYTHONUSERBASE": str(misleading),
        "JAVA_TOOL_OPTIONS": "-Xmx1k",
        "JDK_JAVA_OPTIONS": "-Xmx1k",
        "SPARK_HOME": "/nowhere",
        "SPARK_CONF_DIR": "/nowhere",
        "PYSPARK_SUBMIT_ARGS": "--master x",
        "HADOOP_CONF_DIR": "/nowhere",
        "PYSPARK_PYTHON": "/nowhere",
    }
    service = Slipway(place / DATA, environment, root=clone_into(folder), python=PYTHON, umask=0o077)
    try:
        yield service.up(seconds=FIRST_START_SECONDS)
    finally:
        service.leave()


def test_it_starts_and_installs_nothing_elsewhere(odd: Slipway, place: Path) -> None:
    assert "dependencies installed" in odd.said
    assert not (place / "target").exists()
    assert "cannot fetch" not in odd.said


def test_a_command_works_on_it(odd: Slipway) -> None:
    assert "The chain is whole" in odd.manage("audit", "verify")


def test_a_spark_job_runs_on_it(odd: Slipway) -> None:
    cluster = odd.launch("odd", "spark-notebook")
    enter = odd.folder / "sites" / "local" / "clusters" / cluster["id"] / "enter" / "notebook-0"
    printed = odd.run(str(enter), "sh", "-c", 'spark-submit "$SLIPWAY_DIR_APP/examples/sum.py"')
    assert "sum 49999995000000" in printed
    assert "has not answered" not in odd.said


def test_a_colon_in_the_data_directory_is_refused_with_a_clear_error(odd: Slipway, place: Path) -> None:
    refused = odd.command("up", "--data-dir", str(place / "a:b"), "--no-browser")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"{place}/a:b cannot be a data directory")
    assert "Traceback" not in refused.stderr
    assert not (place / "a:b").exists()
