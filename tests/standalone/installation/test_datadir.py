import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from controlplane.standalone.installation.datadir import DataDir, open_data_dir
from controlplane.standalone.installation.errors import ExpectedError, plain_file_errors
from controlplane.standalone.installation.files import write_private
from controlplane.standalone.installation.keys import key_files
from controlplane.standalone.installation.owner import Owner
from controlplane.standalone.supervise.lock import held
from controlplane.standalone.supervise.logs import LogFile

OTHER_USER = Owner("somebody", 54321, 54321)


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_it_is_made_private(data: DataDir) -> None:
    assert _mode(data.root) == (0o711 if os.geteuid() == 0 else 0o700)
    assert {_mode(folder) for folder in (data.keys, data.logs, data.run)} == {0o700}


def test_modes_do_not_depend_on_the_umask(folder: Path) -> None:
    former = os.umask(0o077)
    try:
        data = open_data_dir(folder / "new" / "data")
    finally:
        os.umask(former)
    expected = 0o711 if os.geteuid() == 0 else 0o700
    assert _mode(folder / "new") == _mode(data.root) == expected


def test_opening_it_again_keeps_its_id(data: DataDir) -> None:
    assert open_data_dir(data.root).id == data.id


def test_a_folder_with_other_contents_is_refused(folder: Path) -> None:
    (folder / "thesis.txt").write_text("all of it")
    before = _mode(folder)
    with pytest.raises(ExpectedError, match="is not empty"):
        open_data_dir(folder)
    assert _mode(folder) == before


def test_an_interrupted_creation_is_continued(folder: Path) -> None:
    (folder / ".slipway.0f1e2d3c.new").write_text('{"lay')
    assert open_data_dir(folder).id


@pytest.mark.parametrize("content", ["", "{}", '{"layout": 1, "id": "x"}', "[]"])
def test_a_damaged_marker_is_a_clear_error(data: DataDir, content: str) -> None:
    (data.root / ".slipway").write_text(content)
    with pytest.raises(ExpectedError, match="is damaged"):
        open_data_dir(data.root)


def test_a_newer_layout_is_refused(data: DataDir) -> None:
    (data.root / ".slipway").write_text(json.dumps({"layout": 2, "id": data.id}))
    with pytest.raises(ExpectedError, match="newer release"):
        open_data_dir(data.root)


def test_a_file_in_its_place_is_a_clear_error(folder: Path) -> None:
    (folder / "file").write_text("")
    with pytest.raises(ExpectedError, match="is not a folder"):
        open_data_dir(folder / "file")


def test_a_database_below_closed_folders_lives_elsewhere(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    data = open_data_dir(closed / "data")
    assert data.root not in data.database_home(OTHER_USER).parents
    assert data.database_home(None) == data.root / "postgres"


def test_a_database_stays_where_it_is(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    data = open_data_dir(closed / "data")
    (data.root / "postgres" / "data").mkdir(parents=True)
    assert data.database_home(OTHER_USER) == data.root / "postgres"


def test_keys_are_made_once_and_private(data: DataDir) -> None:
    first = {name: path.read_text() for name, path in key_files(data).items()}
    again = key_files(data)
    assert {name: path.read_text() for name, path in again.items()} == first
    assert {_mode(path) for path in again.values()} == {0o600}
    assert len(set(first.values())) == len(first) == 3


def test_a_lost_key_is_not_replaced_under_a_database(data: DataDir) -> None:
    key_files(data)["installation"].unlink()
    (data.root / "postgres" / "data").mkdir(parents=True)
    with pytest.raises(ExpectedError, match=r"installation is missing.*backup"):
        key_files(data)


def test_an_empty_key_is_not_used(data: DataDir) -> None:
    key_files(data)["secret"].write_text("")
    with pytest.raises(ExpectedError, match="secret is damaged"):
        key_files(data)


def test_a_second_process_gets_the_pid_of_the_first(data: DataDir) -> None:
    with (
        held(data, url="http://127.0.0.1:8000"),
        pytest.raises(ExpectedError) as refused,
        held(data, url="x"),
    ):
        raise AssertionError("held twice")
    assert f"process {os.getpid()} since " in str(refused.value)
    assert "http://127.0.0.1:8000" in str(refused.value)


def test_the_lock_is_free_again_when_its_process_was_killed(data: DataDir) -> None:
    code = "import fcntl, os, sys; f = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT); "
    code += "fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); input()"
    command = [sys.executable, "-c", code, str(data.run / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        with pytest.raises(ExpectedError, match="already runs"), held(data, url="x"):
            raise AssertionError("held twice")
        other.kill()
    with held(data, url="x"):
        assert json.loads((data.run / "lock").read_text())["pid"] == os.getpid()


def test_a_full_disk_is_a_clear_error() -> None:
    with (
        pytest.raises(ExpectedError, match=r"The disk that holds /srv/x is full"),
        plain_file_errors(Path("/srv/x")),
        Path("/dev/full").open("w") as full,
    ):
        full.write("x" * 100_000)


def test_other_file_errors_are_not_hidden() -> None:
    with pytest.raises(OSError, match="loop"), plain_file_errors(Path("/srv/x")):
        raise OSError(errno.ELOOP, "loop")


def test_a_private_file_replaces_a_link_instead_of_following_it(folder: Path) -> None:
    (folder / "theirs").write_text("untouched")
    (folder / "token.new").symlink_to(folder / "theirs")
    write_private(folder / "token", "secret")
    assert (folder / "theirs").read_text() == "untouched"
    assert _mode(folder / "token") == 0o600


def test_a_log_is_bounded(folder: Path) -> None:
    log = LogFile(folder / "x.log", limit=1000)
    for number in range(100):
        log.write(f"line {number:04}\n".encode() * 10)
    log.close()
    assert (folder / "x.log").stat().st_size <= 1000
    assert (folder / "x.log.1").stat().st_size <= 1000
    assert sorted(path.name for path in folder.iterdir()) == ["x.log", "x.log.1"]
    assert log.last_lines(1) == "line 0099"


def test_a_log_without_room_loses_lines_and_counts_them(folder: Path) -> None:
    (folder / "x.log").symlink_to("/dev/full")
    log = LogFile(folder / "x.log")
    log.write(b"an important line\n")
    log.close()
    assert log.lost == len(b"an important line\n")
    assert log.last_lines(1) == "an important line"


@pytest.mark.parametrize("name", [*(f"a{letter}b" for letter in ":,\\[]{}*?\n"), "a\udcff"])
def test_a_path_that_programs_cannot_use_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(ExpectedError, match="cannot be a data directory"):
        open_data_dir(folder / name)
    assert list(folder.iterdir()) == []
