"""manage.py before its dependencies are installed: a copy of it in an empty folder, with its own lock file."""

import base64
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# The packages of the real lock file that manage.py looks for.
PACKAGES = ("django", "psycopg2", "granian")
# The modules of the project that manage.py imports.
PIP = Path("controlplane/provisioners/local/runtimes/pip_settings.py")
MODULES = (
    PIP,
    *(PIP.parents[level] / "__init__.py" for level in range(4)),
    Path("controlplane/standalone/__init__.py"),
)
ATTACH = """
import contextlib
ExpectedError = RuntimeError
attached = contextlib.nullcontext
"""
DJANGO = "def execute_from_command_line(argv):\n    print('reached', *argv[1:])\n"


def _wheel(folder: Path, name: str, version: str = "1.0", *, needs: str = "") -> str:
    """Makes an installable package and returns its entry for a lock file."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + needs,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if name == "django":
        files |= {"django/core/__init__.py": "", "django/core/management.py": DJANGO}
    with zipfile.ZipFile(path, "w") as wheel:
        rows = []
        for file, text in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            rows.append(f"{file},sha256={digest},{len(text)}")
            wheel.writestr(file, text)
        wheel.writestr(f"{info}/RECORD", "\n".join([*rows, f"{info}/RECORD,,"]))
    return f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def _make_project(folder: Path) -> Path:
    wheels = folder / "wheels"
    wheels.mkdir()
    (folder / "deploy").mkdir()
    shutil.copy(ROOT / "manage.py", folder)
    for module in MODULES:
        (folder / module).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / module, folder / module)
    (folder / "controlplane" / "standalone" / "attach.py").write_text(ATTACH)
    lock = "".join(_wheel(wheels, name) for name in PACKAGES)
    (folder / "deploy" / "requirements.lock").write_text(lock)
    (folder / "deploy" / "requirements-dev.lock").write_text(lock + _wheel(wheels, "checker"))
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return _make_project(tmp_path)


@pytest.fixture(scope="module")
def _installed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = _make_project(tmp_path_factory.mktemp("project"))
    assert _manage(project, "migrate").returncode == 0
    return project


@pytest.fixture
def installed(_installed_once: Path, tmp_path: Path) -> Path:
    """A project whose environment is installed."""
    return Path(shutil.copytree(_installed_once, tmp_path / "project", symlinks=True))


def _manage(
    project: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(project / "wheels"), "PATH": os.environ["PATH"]}
    python = getattr(sys, "_base_executable", sys.executable)
    command = [python, str(project / "manage.py"), *arguments]
    return subprocess.run(
        command,
        env={**offline, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("words", [["images", "list"], ["help", "devkube"]])
def test_a_developer_command_needs_the_tooling_folder(installed: Path, words: list[str]) -> None:
    refused = _manage(installed, *words)
    assert refused.returncode == 1
    assert "is for developers: it needs the folder deploy/tooling of a checkout." in refused.stderr


def test_help_needs_no_dependencies(project: Path) -> None:
    shown = _manage(project, "--help")
    assert shown.returncode == 0
    assert "up        run Slipway" in shown.stdout
    assert not (project / ".venv").exists()


def test_the_first_command_installs_the_lock_and_runs(project: Path) -> None:
    done = _manage(project, "migrate", "--plan")
    assert done.stdout == "reached migrate --plan\n"
    assert "dependencies installed" in done.stderr


@pytest.mark.parametrize("name", ["PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV"])
def test_settings_of_pip_do_not_change_the_target(project: Path, name: str) -> None:
    elsewhere = project / "1"
    done = _manage(project, "migrate", environment={name: str(elsewhere)})
    assert done.stdout == "reached migrate\n", done.stderr
    assert not elsewhere.exists()


def test_modules_of_another_project_are_ignored(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "django").mkdir()
    (tmp_path / "django" / "__init__.py").write_text("raise SystemExit('another django')")
    misled = {"PYTHONPATH": str(tmp_path), "DJANGO_SETTINGS_MODULE": "another.settings"}
    assert _manage(installed, "migrate", environment=misled).stdout == "reached migrate\n"


def test_a_colon_in_the_path_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()
    refused = _manage(_make_project(tmp_path / "a:b"), "migrate")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"Python cannot make an environment in a folder with a ':' in its path: move {tmp_path}/a:b.\n"
    )


def test_later_commands_install_nothing(installed: Path) -> None:
    assert _manage(installed, "migrate").stderr == ""


def test_a_changed_lock_is_installed(installed: Path) -> None:
    lock = installed / "deploy" / "requirements.lock"
    lock.write_text(lock.read_text() + _wheel(installed / "wheels", "added"))
    done = _manage(installed, "migrate")
    assert "dependencies installed" in done.stderr
    assert list((installed / ".venv").glob("lib/*/site-packages/added"))


def test_versions_newer_than_the_lock_are_ignored(installed: Path) -> None:
    wheels, lock = installed / "wheels", installed / "deploy" / "requirements.lock"
    added = _wheel(wheels, "added", needs="Requires-Dist: base[more]>=1.0\n")
    lock.write_text(lock.read_text() + added + _wheel(wheels, "base"))
    _wheel(wheels, "base", "2.0")
    assert _manage(installed, "migrate").stdout == "reached migrate\n"
    assert list((installed / ".venv").glob("lib/*/site-packages/base-1.0.dist-info"))


def test_an_interrupted_installation_is_repeated(installed: Path) -> None:
    (installed / ".venv" / ".slipway-lock").unlink()
    assert "dependencies installed" in _manage(installed, "migrate").stderr


def test_a_link_to_a_python_that_is_gone_is_replaced(project: Path) -> None:
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "python").symlink_to("/nonexistent/python3")
    assert _manage(project, "migrate").stdout == "reached migrate\n"


def test_an_incomplete_environment_is_created_again(installed: Path) -> None:
    (installed / ".venv" / ".slipway-lock").unlink()
    (installed / ".venv" / ".slipway-unfinished").touch()
    shutil.rmtree(next((installed / ".venv").glob("lib/*/site-packages/pip")))
    assert _manage(installed, "migrate").stdout == "reached migrate\n"


def test_an_unreachable_index_is_reported_in_a_sentence(installed: Path) -> None:
    lock = installed / "deploy" / "requirements.lock"
    lock.write_text(lock.read_text() + f"nowhere==1.0 --hash=sha256:{'0' * 64}\n")
    done = _manage(installed, "up")
    assert done.returncode == 1
    assert "No matching distribution found for nowhere==1.0" in done.stderr
    assert "Check that this machine reaches its package index" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_package_with_other_contents_is_refused(installed: Path) -> None:
    lock = installed / "deploy" / "requirements.lock"
    lock.write_text(lock.read_text() + _wheel(installed / "wheels", "added"))
    with zipfile.ZipFile(installed / "wheels" / "added-1.0-py3-none-any.whl", "a") as wheel:
        wheel.writestr("added/extra.py", "")
    done = _manage(installed, "migrate")
    assert done.returncode == 1
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert not (installed / ".venv" / ".slipway-lock").exists()


def test_a_second_installation_waits_for_the_first(installed: Path) -> None:
    (installed / ".venv" / ".slipway-lock").unlink()
    folder = os.open(installed, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    command = [getattr(sys, "_base_executable", sys.executable), str(installed / "manage.py"), "migrate"]
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(installed / "wheels"), "PATH": os.environ["PATH"]}
    with subprocess.Popen(
        command, env=offline, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as second:
        assert second.stderr
        assert "waiting for it" in second.stderr.readline()
        assert not (installed / ".venv" / ".slipway-lock").exists()
        os.close(folder)
        assert second.communicate()[0] == "reached migrate\n"


def test_an_old_python_is_refused_in_a_sentence(project: Path) -> None:
    code = "import manage\nmanage.OLDEST_PYTHON = (99, 0)\ntry:\n    manage.main()\n"
    code += "except manage.SentenceError as error:\n    print(error)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Slipway needs Python 3.11 or newer; this is 3.")
