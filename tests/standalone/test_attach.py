"""Commands beside a running `up` work on its database, with its keys."""

from pathlib import Path

import pytest

from controlplane.standalone.attach import environment_of_installation
from controlplane.standalone.datadir import DataDir
from controlplane.standalone.errors import ExpectedError
from controlplane.standalone.keys import key_files
from controlplane.standalone.owner import database_owner
from controlplane.standalone.pids import MARK


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLIPWAY_INSTALLATION_KEY", "SLIPWAY_INSTALLATION_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)


def _running(data: DataDir) -> Path:
    key_files(data)
    home = data.database_home(database_owner())
    (home / "data").mkdir(parents=True)
    (home / "data" / "postmaster.pid").touch()
    return home


def test_they_get_its_database_and_its_keys(data: DataDir) -> None:
    home = _running(data)
    environment = environment_of_installation(data.root)
    assert environment["DATABASE_URL"].startswith("postgresql://slipway@%2F")
    assert str(home / "sockets").replace("/", "%2F") in environment["DATABASE_URL"]
    assert environment["SLIPWAY_INSTALLATION_KEY_FILE"] == str(data.keys / "installation")
    assert environment["SLIPWAY_DATA_DIR"] == str(data.root)


def test_they_are_not_taken_for_its_own_processes(data: DataDir) -> None:
    _running(data)
    assert MARK not in environment_of_installation(data.root)


def test_an_installation_that_does_not_run_is_told(data: DataDir) -> None:
    with pytest.raises(ExpectedError, match="does not run: start `up` first"):
        environment_of_installation(data.root)


def test_a_folder_without_an_installation_is_left_alone(folder: Path) -> None:
    with pytest.raises(ExpectedError, match="no installation"):
        environment_of_installation(folder / "none")
    assert not (folder / "none").exists()
