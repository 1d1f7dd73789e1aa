"""The files of the catalogue, without running them: they are consistent, and Spark gets the right sizes."""

import ast
import importlib.util
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
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


def functions_of(path: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    name = path.replace("/", "_").replace("-", "_")
    loader = SourceFileLoader(name, str(catalog.FOLDER / "spark" / path))
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def submit(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The functions in the spark-submit script."""
    return functions_of("bin/spark-submit", monkeypatch)


@pytest.fixture
def prepare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The functions in the last installation step of a runtime, with the runtime at `tmp_path`."""
    monkeypatch.setenv("RUNTIME_HOME", str(tmp_path))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    return functions_of("prepare", monkeypatch)


def test_a_notice_names_the_reason_why_the_archive_failed(prepare: ModuleType, tmp_path: Path):
    def fail() -> None:
        raise RuntimeError("train.py ended with 1: Connection refused")

    assert prepare.attempt(fail) == 1
    assert (
        "without its class-data archive: it could not be made (train.py" in (tmp_path / ".notice").read_text()
    )


def test_spark_a_notebook_and_dask_ship():
    assert {app.name for app in APPS} == {"spark", "jupyterlab", "dask"}


@pytest.mark.parametrize(("app", "script"), SCRIPTS, ids=lambda value: getattr(value, "path", value))
def test_every_python_script_can_be_read_by_the_oldest_python(app: str, script: Asset):
    ast.parse(script.content, script.path, feature_version=(3, 11))


@pytest.mark.parametrize(("app", "script"), SCRIPTS, ids=lambda value: getattr(value, "path", value))
def test_no_script_uses_a_proxy_between_nodes(app: str, script: Asset):
    openers = script.content.count("build_opener(")
    assert "urlopen(" not in script.content
    assert openers == script.content.count("build_opener(urllib.request.ProxyHandler({}))")
    assert ("grpc.enable_http_proxy" in script.content) == ("insecure_channel(" in script.content)


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.name)
def test_every_role_has_a_ready_hook(app: App):
    assert all(role.hooks.ready for role in app.roles)


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.name)
def test_no_secret_is_in_a_command_or_the_environment(app: App):
    shown = [text for role in app.roles for text in (*role.command, *role.env.values())]
    assert not [text for text in shown if "{secret." in text]


@pytest.mark.parametrize("path", ["python/jupyter_server_config.py", "jupyter/labconfig/page_config.json"])
def test_notebooks_have_the_same_setup_in_every_app(path: str):
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
def test_amounts_of_memory_are_parsed_as_in_spark(submit: ModuleType, text: str, mib: int):
    assert submit.mebibytes(text) == mib


def test_an_invalid_amount_is_an_error_in_one_sentence(submit: ModuleType):
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
def test_the_heap_is_as_requested(submit: ModuleType, words: list[str]):
    assert submit.heap_mib([*words, "job.py"]) == 700


def test_the_heap_can_come_from_a_properties_file(submit: ModuleType, tmp_path: Path):
    (tmp_path / "job.conf").write_text(
        "# spark.driver.memory 1g\nspark.driver.memory = 700m\nspark.ui.port: 1\n"
    )
    assert submit.heap_mib(["--properties-file", str(tmp_path / "job.conf"), "job.py"]) == 700
    assert (
        submit.heap_mib([f"--properties-file={tmp_path}/job.conf", "--driver-memory", "1g", "job.py"]) == 1024
    )


def test_an_executor_needs_one_worker_with_its_memory_and_its_cores(submit: ModuleType):
    workers = [{"memory": 4096, "cores": 1}, {"memory": 1024, "cores": 4}]
    submit.refuse_what_no_worker_holds(4096, 1, workers)
    with pytest.raises(SystemExit, match="no worker can hold an executor of 4096 MiB and 2 cores"):
        submit.refuse_what_no_worker_holds(4096, 2, workers)


def test_requests_to_the_master_use_no_proxy(submit: ModuleType, monkeypatch: pytest.MonkeyPatch):
    class Master(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"workers": [{"cores": 3}]}')

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with HTTPServer(("127.0.0.1", 0), Master) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        monkeypatch.setenv("SPARK_MASTER_UI", f"http://127.0.0.1:{server.server_port}")
        assert submit.master_workers() == [{"cores": 3}]


def test_two_sessions_fit_into_a_node(submit: ModuleType, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SPARK_NODE_HEAP_MIB", "3000")
    assert submit.heap_mib(["job.py"]) == 1500


@pytest.mark.parametrize(
    "words", [["--driver-class-path", "x.jar"], ["--conf", "spark.driver.extraJavaOptions=-Xss4m"]]
)
def test_options_that_change_the_jvm_go_to_the_launcher(submit: ModuleType, words: list[str]):
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
