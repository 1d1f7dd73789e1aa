import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from controlplane.standalone.database import binaries
from controlplane.standalone.database.postgres import LONGEST_SOCKET_FOLDER, Postgres
from controlplane.standalone.database.prepare import prepare_postgres
from controlplane.standalone.database.recovery import clean_up_after_crash
from controlplane.standalone.installation.datadir import DataDir
from controlplane.standalone.installation.errors import ExpectedError
from controlplane.standalone.installation.files import make_folder
from controlplane.standalone.installation.owner import Owner, database_owner
from controlplane.standalone.supervise.child import Child, ChildSpec
from controlplane.standalone.supervise.supervisor import Supervisor
from tests.standalone.conftest import SECONDS


@pytest.fixture
def server(data: DataDir) -> Postgres:
    return prepare_postgres(data.root / "postgres", owner=database_owner(), durable=False)


def _started(supervisor: Supervisor, server: Postgres) -> Child:
    service = ChildSpec(
        "postgres",
        server.command,
        stop_signal=signal.SIGINT,
        stop_seconds=30,
        before_start=lambda: clean_up_after_crash(server),
    )
    child = supervisor.start(service)
    assert supervisor.wait(lambda: child.alive and server.is_ready(child.pid), seconds=SECONDS, every=0.02)
    return child


def _run(server: Postgres, *statements: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(server.url)
    try:
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall()
    finally:
        connection.close()


def test_it_serves_only_our_role_on_a_private_socket(supervisor: Supervisor, server: Postgres) -> None:
    child = _started(supervisor, server)
    rows = _run(
        server, "SELECT current_user, rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user"
    )
    assert rows == [("slipway", False, True)]
    assert stat.S_IMODE(server.sockets.stat().st_mode) == 0o700
    assert _run(server, "SHOW listen_addresses") == [("",)]
    assert Path(f"/proc/{child.pid}").stat().st_uid != 0


def test_it_restarts_after_a_kill(supervisor: Supervisor, server: Postgres) -> None:
    child = _started(supervisor, server)
    _run(server, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1) RETURNING n")
    first = child.pid
    os.kill(first, signal.SIGKILL)
    again = supervisor.wait(
        lambda: child.pid not in {0, first} and server.is_ready(child.pid), seconds=SECONDS, every=0.02
    )
    assert again
    assert _run(server, "SELECT n FROM kept") == [(1,)]


def test_another_user_is_not_let_in(supervisor: Supervisor, server: Postgres) -> None:
    if os.geteuid() != 0:
        assert "peer map=slipway" in (server.home / "pg_hba.conf").read_text()
        return
    _started(supervisor, server)
    server.sockets.chmod(0o711)
    (server.sockets / ".s.PGSQL.5432").chmod(0o777)
    stranger = os.fork()
    if stranger == 0:
        os._exit(_refused_to(pwd.getpwnam("nobody").pw_uid, server.url))
    assert os.waitstatus_to_exitcode(os.waitpid(stranger, 0)[1]) == 0


def _refused_to(user: int, url: str) -> int:
    os.setgroups([])
    os.setuid(user)
    try:
        psycopg2.connect(url)
    except psycopg2.OperationalError as error:
        return 0 if "Peer authentication failed" in str(error) else 2
    return 1


def test_preparing_it_again_keeps_the_data(server: Postgres) -> None:
    version = server.data / "PG_VERSION"
    made = version.stat().st_mtime_ns
    prepare_postgres(server.home, owner=server.owner, durable=False)
    assert version.stat().st_mtime_ns == made


def test_an_interrupted_initialisation_is_cleared_away(data: DataDir) -> None:
    unfinished = data.root / "postgres" / "unfinished-x"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    if os.geteuid() == 0:
        unfinished.parent.chmod(0o711)
    server = prepare_postgres(data.root / "postgres", owner=database_owner(), durable=False)
    assert not unfinished.exists()
    assert (server.data / "PG_VERSION").exists()


def test_a_database_of_an_unknown_release_is_a_clear_error(server: Postgres) -> None:
    (server.data / "PG_VERSION").write_text("12\n")
    with pytest.raises(ExpectedError, match="made by PostgreSQL 12"):
        prepare_postgres(server.home, owner=server.owner)


def test_a_foreign_process_with_the_old_id_does_not_block_the_start(
    supervisor: Supervisor, server: Postgres
) -> None:
    with subprocess.Popen(
        ["sleep", "infinity"],
        user=server.owner.uid if server.owner else None,
        cwd="/",
    ) as stranger:
        (server.data / "postmaster.pid").write_text(
            f"{stranger.pid}\n{server.data}\n1\n5432\n\n\n  1 1\nready\n"
        )
        _started(supervisor, server)
        assert stranger.poll() is None
        stranger.kill()


def test_a_long_path_gets_a_short_socket_folder(data: DataDir) -> None:
    home = data.root / ("long-" * 30)
    server = prepare_postgres(home, owner=database_owner(), durable=False)
    try:
        assert len(os.fsencode(server.sockets)) <= LONGEST_SOCKET_FOLDER
        assert stat.S_IMODE(server.sockets.stat().st_mode) == 0o700
    finally:
        server.sockets.rmdir()


@pytest.mark.parametrize(
    "name", ["a b", "a,b", "a'b", 'a"b', "a%2Fb", "a#b?c", "ä", "a\\b", "$HOME", "a;b&c"]
)
def test_it_serves_from_any_path(supervisor: Supervisor, data: DataDir, name: str) -> None:
    make_folder(data.root / name, mode=0o711)
    server = prepare_postgres(data.root / name / "postgres", owner=database_owner(), durable=False)
    try:
        _started(supervisor, server)
        assert server.answers()
        environment = {**os.environ, "DATABASE_URL": server.url}
        code = "from controlplane.settings import DATABASES as d; print(d['default']['HOST'])"
        read = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert read.stdout.strip() == str(server.sockets), read.stderr
    finally:
        supervisor.stop(["postgres"])
        if not server.sockets.is_relative_to(server.home):
            server.sockets.rmdir()


def test_a_suspended_server_does_not_answer(supervisor: Supervisor, server: Postgres) -> None:
    child = _started(supervisor, server)
    assert server.answers()
    os.kill(child.pid, signal.SIGSTOP)
    assert not server.answers()
    os.kill(child.pid, signal.SIGCONT)


def test_a_stopped_backend_of_a_killed_server_does_not_block_the_next(
    supervisor: Supervisor, server: Postgres
) -> None:
    child = _started(supervisor, server)
    first = child.pid
    with closing(psycopg2.connect(server.url)) as connection:
        os.kill(connection.get_backend_pid(), signal.SIGSTOP)
        os.kill(first, signal.SIGKILL)
        assert supervisor.wait(
            lambda: child.pid not in {0, first} and server.answers(), seconds=SECONDS, every=0.02
        )


def test_a_copy_of_the_programs_is_used_where_the_user_cannot_enter_the_originals(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "SHARED_BINARIES", folder / "shared")
    stranger = Owner("stranger", 65534, 65534)
    private = folder / "private"
    private.mkdir(mode=0o700)
    package = private / binaries.PACKAGE
    shutil.copytree(binaries.package_folder() / "pginstall18", package / "pginstall18", symlinks=True)
    (package / "pginstall18" / "bin" / "postgres").chmod(0o700)
    monkeypatch.setattr(binaries, "package_folder", lambda: package)
    programs = binaries.program_folder(binaries.MAJOR, stranger)
    assert stranger.may_enter(programs)
    assert stat.S_IMODE((programs / "postgres").stat().st_mode) == 0o755
    assert subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True).stdout
    assert binaries.program_folder(binaries.MAJOR, stranger) == programs


def test_a_closed_parent_folder_is_a_clear_error(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ExpectedError, match="cannot reach"):
        prepare_postgres(closed / "postgres", owner=Owner("somebody", 54321, 54321))
