"""Connects a management command to one installation of `up`, running or stopped: its database and its keys."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from controlplane.standalone.database.postgres import Postgres, server_in
from controlplane.standalone.database.prepare import prepare_postgres
from controlplane.standalone.database.recovery import clean_up_after_crash
from controlplane.standalone.installation.datadir import DataDir, default_root, open_data_dir
from controlplane.standalone.installation.environment import (
    MARK,
    ROOT,
    drop_libpq,
    own_database_named,
    service_environment,
)
from controlplane.standalone.installation.errors import ExpectedError
from controlplane.standalone.installation.keys import key_files
from controlplane.standalone.installation.owner import database_owner
from controlplane.standalone.supervise import pids
from controlplane.standalone.supervise.leftovers import DATABASE_STOP, DATABASE_STOP_SECONDS, end_leftovers
from controlplane.standalone.supervise.lock import HeldError, held
from controlplane.standalone.supervise.logs import open_private

OPTION = "--data-dir"
READY_SECONDS = 120.0
"""A database that was killed replays its log before it answers."""
LOOK_SECONDS = 0.03
# These commands need no database, and no installation either.
WITHOUT_DATABASE = {
    *("check", "collectstatic", "devkube", "diffsettings", "findstatic", "help", "images", "makemigrations"),
    *("runtimes", "sendtestemail", "spectacular", "startapp", "startproject", "testserver", "version"),
    *("--version", "--help", "-h"),
}


@contextmanager
def attached(argv: Sequence[str]) -> Iterator[list[str]]:
    """Set the environment variables of the installation. Yields the arguments without --data-dir.

    A stopped database runs for the duration of the context. Raises ExpectedError.
    """
    arguments, named = _without_option(argv)
    command = arguments[1] if len(arguments) > 1 else "help"
    needs_no_database = command in WITHOUT_DATABASE or {"-h", "--help"} & set(arguments)
    if MARK in os.environ:
        # The supervisor started this process with the complete environment.
        yield arguments
        return
    if needs_no_database:
        root = named or _unambiguous()
        if root and _is_installation(root):
            os.environ["SLIPWAY_DATA_DIR"] = str(root)
        yield arguments
    elif own_database_named():
        _use_keys(named or _unambiguous())
        yield arguments
    else:
        with _database(named or chosen_installation()) as environment:
            os.environ.update(_of_installation(environment))
            yield arguments


def environment_of_installation(root: Path) -> dict[str, str]:
    """Returns the environment for a command beside a running `up`. Raises ExpectedError when `up` does not run."""
    data = _installation(root)
    server = _server(data)
    if not server.answers():
        raise ExpectedError(f"The database of {root} does not run: start `up` first.")
    return _environment(data, server)


def _without_option(argv: Sequence[str]) -> tuple[list[str], Path | None]:
    arguments, named = [], None
    words = iter(argv)
    for word in words:
        if word == "--":
            arguments += [word, *words]
        elif word == OPTION:
            named = next(words, "")
        elif word.startswith(f"{OPTION}="):
            named = word.partition("=")[2]
        else:
            arguments.append(word)
    if named == "":
        raise ExpectedError(f"{OPTION} needs a folder behind it.")
    return arguments, Path(named).absolute() if named else None


def chosen_installation() -> Path | None:
    """Returns the data directory of SLIPWAY_DATA_DIR, else the default one, else the one that this checkout runs.

    None when there is no installation. Raises ExpectedError when several run.
    """
    if named := os.environ.get("SLIPWAY_DATA_DIR", ""):
        return Path(named).absolute()
    running, default = running_installations(), default_root()
    if not running or default in running:
        return default if _is_installation(default) else None
    if len(running) > 1:
        listed = ", ".join(map(str, sorted(running)))
        raise ExpectedError(f"Several installations run: {listed}. Choose one with {OPTION}.")
    return running.pop()


def _unambiguous() -> Path | None:
    """Returns the chosen installation, or None where several run."""
    try:
        return chosen_installation()
    except ExpectedError:
        return None


def running_installations() -> set[Path]:
    """Returns the data directories of all processes that a supervisor of this checkout has started.

    Processes of other users are left out, because their environment cannot be read.
    """
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.readlink(process / "cwd") != str(ROOT):
                continue
            pairs = (process / "environ").read_bytes().split(b"\0")
            environment = dict(pair.split(b"=", 1) for pair in pairs if b"=" in pair)
            if MARK.encode() in environment and (folder := environment.get(b"SLIPWAY_DATA_DIR")):
                found.add(Path(os.fsdecode(folder)))
    return found


def _is_installation(root: Path) -> bool:
    try:
        return (root / ".slipway").exists()
    except PermissionError:
        raise ExpectedError(f"{root} belongs to another user: run this command as that user.") from None


def _installation(root: Path | None) -> DataDir:
    if root is None or not _is_installation(root):
        raise ExpectedError(
            f"There is no installation in {root or default_root()}: start one with `up`, "
            f"or name yours with {OPTION} or DATABASE_URL."
        )
    return open_data_dir(root)


def _use_keys(root: Path | None) -> None:
    """Set the keys of the installation that uses the external database of DATABASE_URL."""
    if root and _is_installation(root) and not (data := open_data_dir(root)).has_database():
        environment = service_environment(data, keys=key_files(data), database_url="")
        os.environ.update(_of_installation(environment))
        _say(f"using the installation in {root} and the database that DATABASE_URL names")
    else:
        _say("using the database that DATABASE_URL names")


def _of_installation(environment: dict[str, str]) -> dict[str, str]:
    """Returns the variables that define an installation. A command inherits all others from its caller."""
    return {
        name: value
        for name, value in environment.items()
        # MARK identifies children of the supervisor, and this process is none.
        if name.startswith(("SLIPWAY_", "DATABASE_URL")) and name != MARK
    }


def _environment(data: DataDir, server: Postgres) -> dict[str, str]:
    environment = service_environment(data, keys=key_files(data), database_url=server.url)
    # It identifies children of the supervisor, and this process is none.
    environment.pop(MARK)
    return environment


def _server(data: DataDir) -> Postgres:
    owner = database_owner()
    home = data.database_home(owner)
    if not (home / "data").exists():
        raise ExpectedError(
            f"The installation in {data.root} has no database of its own: set DATABASE_URL as for `up`."
        )
    return server_in(home, owner=owner)


@contextmanager
def _database(root: Path | None) -> Iterator[dict[str, str]]:
    """Yields the environment of the installation while its database runs. Starts the database unless `up` runs it."""
    data = _installation(root)
    server = _server(data)
    drop_libpq()
    with ExitStack() as stack:
        try:
            stack.enter_context(held(data, url=""))
        except HeldError as error:
            if error.is_command:
                raise
            _say(f"using the running installation in {data.root}")
            _await(server.answers, data)
        else:
            _say(f"using the stopped installation in {data.root}")
            stack.enter_context(_started(data, server))
        yield _environment(data, server)


@contextmanager
def _started(data: DataDir, server: Postgres) -> Iterator[None]:
    end_leftovers(data, _say)
    prepared = prepare_postgres(server.home, owner=server.owner)
    clean_up_after_crash(prepared)
    log = data.logs / "postgres.log"
    with open(log, "ab", opener=open_private) as output:
        process = prepared.command.start(output=output.fileno())
    pids.record(data, "postgres", process.pid)
    try:
        _await(lambda: process.poll() is not None or prepared.is_ready(process.pid), data)
        if process.poll() is not None:
            raise ExpectedError(f"PostgreSQL does not start: see {log}.")
        yield
    finally:
        pids.end_leftover(data, "postgres", stop=DATABASE_STOP, seconds=DATABASE_STOP_SECONDS)
        process.wait()


def _await(condition: Callable[[], bool], data: DataDir) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise ExpectedError(f"The database of {data.root} does not answer: see {data.logs}.")
        time.sleep(LOOK_SECONDS)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
