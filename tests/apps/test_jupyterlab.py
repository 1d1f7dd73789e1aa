"""A real JupyterLab, from the files that ship."""

from collections.abc import Iterator

import httpx
import pytest

from tests.apps.running import Running, running
from tests.journeys.kernel import Kernel

pytestmark = [pytest.mark.local, pytest.mark.timeout(1800), pytest.mark.xdist_group("jupyterlab")]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("lab"), "jupyterlab", {"notebook": 1}) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def kernel(lab: Running) -> Kernel:
    return Kernel(lab.page("notebook-0", 8888))


def ask(lab: Running, path: str, **headers: str) -> int:
    url = f"http://{lab.address('notebook-0')}:8888{path}"
    return httpx.get(url, headers=headers, timeout=20).status_code


def test_a_cell_computes_with_the_usual_packages(kernel: Kernel):
    assert kernel.run("import numpy, pandas; print(pandas.Series(numpy.arange(4)).sum())") == "6\n"


def test_it_opens_with_its_token_and_with_nothing_else(lab: Running):
    assert ask(lab, "/api/kernels", Authorization=f"token {lab.keys['notebook']}") == 200
    assert ask(lab, "/api/kernels") == 403
    assert ask(lab, "/api/kernels", Authorization="token " + "0" * 64) == 403


def test_it_refuses_another_host_name(lab: Running):
    token = f"token {lab.keys['notebook']}"
    assert ask(lab, "/api/kernels", Authorization=token, Host="evil.example") == 403


def test_it_listens_only_at_the_address_of_its_node(lab: Running):
    assert lab.listening("notebook-0") - {"127.0.0.1"} == {lab.address("notebook-0")}


def test_files_are_saved_in_the_home(lab: Running, kernel: Kernel):
    kernel.save("mine.ipynb", "1 + 1")
    home = lab.here.folder(lab.wish.cluster, "notebook-0").home
    assert (home / "mine.ipynb").is_file()
    assert (home / "shared").is_dir()


def test_terminals_can_be_opened(kernel: Kernel):
    assert kernel.api("POST", "/api/terminals").json()["name"]


def test_an_idle_notebook_is_not_busy(lab: Running, kernel: Kernel):
    code, answer = lab.hook("notebook-0", "busy")
    assert (code, answer["tasks"]) == (1, 0)
    assert lab.hook("notebook-0", "info")[1]["version"]


def test_the_busy_hook_does_not_count_as_activity(lab: Running, kernel: Kernel):
    before = kernel.api("GET", "/api/status?no_track_activity=1").json()["last_activity"]
    lab.hook("notebook-0", "busy")
    assert kernel.api("GET", "/api/status?no_track_activity=1").json()["last_activity"] == before
