"""Management commands use the database and the keys of an installation."""

import os
from pathlib import Path

import pytest

from controlplane.standalone import attach
from controlplane.standalone.attach import attached, environment_of_installation
from controlplane.standalone.database.prepare import prepare_postgres
from controlplane.standalone.installation.datadir import DataDir
from controlplane.standalone.installation.environment import MARK
from controlplane.standalone.installation.errors import ExpectedError
from controlplane.standalone.installation.keys import key_files
from controlplane.standalone.installation.owner import database_owner

NAMED = ("SLIPWAY_INSTALLATION_KEY", "SLIPWAY_DATA_DIR", "DATABASE_URL", "DATABASE_URL_FILE")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    for name in NAMED:
        os.environ.pop(name, None)
        os.environ.pop(f"{name}_FILE", None)


@pytest.fixture
def installed(data: DataDir) -> DataDir:
    """An installation that was started once."""
    key_files(data)
    owner = database_owner()
    prepare_postgres(data.database_home(owner), owner=owner, durable=False)
    return data


def test_a_stopped_one_is_started_for_the_command(
    installed: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOST", "elsewhere.example")
    with attached(["manage.py", "audit", "--data-dir", str(installed.root), "verify"]) as arguments:
        assert arguments == ["manage.py", "audit", "verify"]
        assert environment_of_installation(installed.root)["DATABASE_URL"] == os.environ["DATABASE_URL"]
        assert os.environ["SLIPWAY_INSTALLATION_KEY_FILE"] == str(installed.keys / "installation")
        assert os.environ["SLIPWAY_DATA_DIR"] == str(installed.root)
        assert "PGHOST" not in os.environ
    with pytest.raises(ExpectedError, match="does not run: start `up` first"):
        environment_of_installation(installed.root)


def test_a_folder_without_an_installation_is_not_changed(folder: Path) -> None:
    with pytest.raises(ExpectedError, match="no installation"):
        environment_of_installation(folder / "none")
    assert not (folder / "none").exists()


def test_a_command_without_a_database_needs_no_installation(folder: Path) -> None:
    os.environ["SLIPWAY_DATA_DIR"] = str(folder / "none")
    with attached(["manage.py", "runtimes", "list"]) as arguments:
        assert arguments == ["manage.py", "runtimes", "list"]


def test_the_keys_of_an_embedded_database_are_not_used_on_another(installed: DataDir) -> None:
    os.environ["DATABASE_URL"] = "postgresql://elsewhere.example/slipway"
    with attached(["manage.py", "audit", "verify", f"--data-dir={installed.root}"]):
        assert "SLIPWAY_INSTALLATION_KEY_FILE" not in os.environ


def test_the_keys_of_an_up_with_a_named_database_are_used_beside_it(data: DataDir) -> None:
    key_files(data)
    os.environ["DATABASE_URL"] = "postgresql://elsewhere.example/slipway"
    with attached(["manage.py", "audit", "verify", f"--data-dir={data.root}"]):
        assert os.environ["SLIPWAY_INSTALLATION_KEY_FILE"] == str(data.keys / "installation")
        assert MARK not in os.environ


def test_a_child_of_the_supervisor_keeps_its_environment(folder: Path) -> None:
    os.environ[MARK] = "an-id"
    with attached(["manage.py", "worker"]) as arguments:
        assert arguments == ["manage.py", "worker"]
        assert "DATABASE_URL" not in os.environ


def test_several_running_installations_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attach, "running_installations", lambda: {folder / "one", folder / "two"})
    with pytest.raises(ExpectedError, match=f"Several installations run: {folder}/one, {folder}/two"):
        attach.chosen_installation()
    with attached(["manage.py", "check"]) as arguments:
        assert arguments == ["manage.py", "check"]
