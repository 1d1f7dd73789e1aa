"""What ships can be read, belongs together, and calculates rightly before anything runs."""

import ast
import importlib.util
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from templates import catalog
from templates.launch import expand
from templates.schema import App, Asset, LaunchRequest
from tests.apps.running import shipped

APPS = catalog.load()
SCRIPTS = [
    (app.name, asset)
    for app in APPS
    for asset in app.assets
    if asset.path.endswith(".py") or "python3" in asset.content.partition("\n")[0]
]


def asset(app: str, path: str) -> Asset:
    return next(asset for asset in shipped(app).assets if asset.path == path)


@pytest.fixture
def submit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """spark-submit's functions."""
    path = catalog.FOLDER / "spark" / "bin" / "spark-submit"
    loader = SourceFileLoader("spark_submit", str(path))
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    spec = importlib.util.spec_from_loader("spark_submit", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_spark_a_notebook_and_dask_ship():
    assert {app.name for app in APPS} == {"spark", "jupyterlab", "dask"}


@pytest.mark.parametrize(("app", "script"), SCRIPTS, ids=lambda value: getattr(value, "path", value))
def test_every_python_script_can_be_read_by_the_oldest_python(app: str, script: Asset):
    ast.parse(script.content, script.path, feature_version=(3, 11))


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.name)
def test_every_role_says_when_it_is_ready(app: App):
    assert all(role.hooks.ready for role in app.roles)


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.name)
def test_no_secret_is_in_a_command_or_the_environment(app: App):
    shown = [text for role in app.roles for text in (*role.command, *role.env.values())]
    assert not [text for text in shown if "{secret." in text]


@pytest.mark.parametrize("path", ["python/jupyter_server_config.py", "jupyter/labconfig/page_config.json"])
def test_notebooks_are_set_up_alike_in_every_app(path: str):
    assert len({asset(app.name, path).content for app in APPS}) == 1


def test_the_sizes_of_a_spark_worker_leave_room_beside_its_executors():
    worker = shipped("spark").role("worker")
    assert worker.minimum.memory - worker.overhead >= 512 * 2**20


@pytest.mark.parametrize(
    ("cores", "size"), [([1], 1), ([2], 2), ([4, 4], 4), ([8], 4), ([7], 1), ([6, 4], 2), ([10, 5], 5)]
)
def test_executors_fill_every_worker(submit: ModuleType, cores: list[int], size: int):
    assert submit.executor_cores(cores) == size


@pytest.mark.parametrize(
    ("text", "mib"), [("512m", 512), ("2g", 2048), ("1G", 1024), ("2048", 2048), ("1gb", 1024)]
)
def test_memory_is_read_as_spark_writes_it(submit: ModuleType, text: str, mib: int):
    assert submit.mebibytes(text) == mib


def test_an_amount_that_is_none_is_a_sentence(submit: ModuleType):
    with pytest.raises(SystemExit, match="'lots' is no amount of memory"):
        submit.mebibytes("lots")


@pytest.mark.parametrize(
    "words",
    [
        ["--driver-memory", "700m"],
        ["--driver-memory=700m"],
        ["--conf", "spark.driver.memory=700m"],
        ["--conf=spark.driver.memory=700m"],
        ["--driver-memory", "1g", "-c", "spark.driver.memory=700m"],
    ],
)
def test_the_heap_is_as_asked_for(submit: ModuleType, words: list[str]):
    assert submit.heap_mib([*words, "job.py"]) == 700


def test_two_sessions_fit_into_a_node(submit: ModuleType, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SPARK_NODE_HEAP_MIB", "3000")
    assert submit.heap_mib(["job.py"]) == 1500


@pytest.mark.parametrize(
    "words", [["--driver-class-path", "x.jar"], ["--conf", "spark.driver.extraJavaOptions=-Xss4m"]]
)
def test_what_changes_the_jvm_goes_to_the_launcher(submit: ModuleType, words: list[str]):
    assert submit.needs_launcher([*words, "job.py"])
    assert not submit.needs_launcher(["--conf", "spark.executor.memory=1g", "job.py"])


def test_the_templates_that_ship_can_be_launched():
    from templates.revision import parse_revision

    bodies = catalog.load_templates()
    assert set(bodies) == {"spark", "spark-notebook", "notebook", "dask"}
    for body in bodies.values():
        revision = parse_revision(
            {**body, "app": {"name": body["app"], "version": "x"}}, shipped(body["app"])
        )
        assert expand(revision, LaunchRequest()).takes.clusters == 1
