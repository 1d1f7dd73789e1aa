"""`up`: starts the database, the web server and the worker of one data directory, and supervises them."""

import contextlib
import http.client
import os
import shutil
import sys
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from controlplane.standalone.database.prepare import prepare_postgres
from controlplane.standalone.database.recovery import clean_up_after_crash
from controlplane.standalone.installation.datadir import DataDir, open_data_dir
from controlplane.standalone.installation.environment import (
    ROOT,
    drop_libpq,
    own_database_named,
    python,
    service_environment,
)
from controlplane.standalone.installation.errors import REFUSED, ExpectedError
from controlplane.standalone.installation.keys import key_files
from controlplane.standalone.installation.owner import database_owner
from controlplane.standalone.setup import kubernetes, production
from controlplane.standalone.supervise import pids
from controlplane.standalone.supervise.child import ChildSpec
from controlplane.standalone.supervise.command import ProcessSpec
from controlplane.standalone.supervise.heartbeat import HEARTBEAT, Heartbeat
from controlplane.standalone.supervise.leftovers import (
    DATABASE_STOP,
    DATABASE_STOP_SECONDS,
    STOP_SECONDS,
    STOPS,
    end_leftovers,
)
from controlplane.standalone.supervise.lock import gate_closed, held
from controlplane.standalone.supervise.supervisor import StoppedError, Supervisor, ending
from controlplane.standalone.web.ports import DEFAULT_PORT, HOST, port_check
from controlplane.standalone.web.server import web_command

LOWEST_FREE_BYTES = 200 * 1024 * 1024
DATABASE_SECONDS = 120.0
"""A database that was killed replays its log before it answers."""
SETUP_SECONDS = 600.0
WEB_SECONDS = 60.0
LOOK_SECONDS = 0.03
UNANSWERED_SECONDS = 60.0
"""A service that does not answer for so long is restarted. SLIPWAY_PROBE_PATIENCE overrides it."""
RUNTIMES_FAILED = "cannot fetch some packages of the apps; a launch that needs them tries again"


@dataclass(frozen=True, slots=True)
class Options:
    data_dir: Path
    port: int = DEFAULT_PORT
    browser: bool = False
    production_check: bool = False

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"


def say(sentence: str) -> None:
    # The terminal may be closed. That alone does not stop Slipway: SIGHUP does.
    with contextlib.suppress(OSError):
        print(sentence, flush=True)


def up(options: Options) -> None:
    """Run until a signal stops it. Raises ExpectedError when the user has to change something first."""
    if options.production_check:
        production.check_environment()
    data = open_data_dir(options.data_dir)
    with held(data, url=options.url):
        end_leftovers(data, say)
        port_check(options.port)
        _check_space(data.root)
        pids.record(data, "supervisor", os.getpid())
        try:
            _run(data, options)
        finally:
            pids.forget(data, "supervisor")


def _run(data: DataDir, options: Options) -> None:
    supervisor = Supervisor(data, say=say)
    with supervisor.signals():
        try:
            _start(supervisor, data, options)
            supervisor.run()
        except StoppedError:
            # The signal came while services were starting. The rest is as for any stop.
            pass
        else:
            say("\nstopping; clusters keep running, and the next `up` finds them")
        finally:
            supervisor.stop(list(STOPS))
            supervisor.stop(["postgres"])


def _check_space(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < LOWEST_FREE_BYTES:
        raise ExpectedError(
            f"Only {free // 2**20} MiB are free where {folder} is, of {LOWEST_FREE_BYTES // 2**20} needed: "
            "free some space there, or choose another folder with --data-dir."
        )


def _start(supervisor: Supervisor, data: DataDir, options: Options) -> None:
    say(f"starting in {data.root}")
    # The keys come first: a database must not exist without the key that seals its rows.
    keys = key_files(data)
    url = "" if own_database_named() else _start_database(supervisor, data)
    environment = service_environment(data, keys=keys, database_url=url)
    before = _content(data.admin_token)
    run = partial(_service, environment=environment)
    with gate_closed(data):
        # It loads its code while the database is being upgraded, and waits at the gate.
        web = supervisor.start(
            run("web", web_command(options.port), probe=partial(web_answers, options.port))
        )
        checked = {production.CHECKED: "1"} if options.production_check else {}
        _upgrade_database(supervisor, environment | checked)
    heartbeat = Heartbeat(data.run / HEARTBEAT)
    supervisor.start(run("worker", python("manage.py", "worker"), probe=heartbeat.advanced))
    if not supervisor.wait(lambda: web_answers(options.port), seconds=WEB_SECONDS, every=LOOK_SECONDS):
        raise ExpectedError(f"The web server does not answer; its log says:\n{web.log.last_lines(8)}")
    _greet(data, options, first=_content(data.admin_token) != before)
    if os.environ.get("SLIPWAY_FETCH_RUNTIMES", "1") != "0" and production.local_site_wanted():
        # A launch meanwhile takes precedence, so this one is nice.
        fetch = ProcessSpec(python("manage.py", "runtimes", "fetch"), environment, ROOT, niceness=10)
        supervisor.start(ChildSpec("runtimes", fetch, restarts=False, failure=RUNTIMES_FAILED))


def _start_database(supervisor: Supervisor, data: DataDir) -> str:
    drop_libpq()
    owner = database_owner()
    server = prepare_postgres(data.database_home(owner), owner=owner)
    service = ChildSpec(
        "postgres",
        server.command,
        stop_signal=DATABASE_STOP,
        stop_seconds=DATABASE_STOP_SECONDS,
        before_start=partial(clean_up_after_crash, server),
        probe=server.answers,
        patience=_patience(),
    )
    child = supervisor.start(service)

    def ready() -> bool:
        return child.alive and server.is_ready(child.pid)

    if not supervisor.wait(ready, seconds=DATABASE_SECONDS, every=LOOK_SECONDS):
        raise ExpectedError(f"PostgreSQL does not start; its log says:\n{child.log.last_lines(8)}")
    return server.url


def _upgrade_database(supervisor: Supervisor, environment: dict[str, str]) -> None:
    command = python("-m", "controlplane.standalone.setup.upgrade")
    child = supervisor.start(_service("setup", command, environment=environment, once=True))
    if not supervisor.wait(lambda: not child.alive, seconds=SETUP_SECONDS):
        raise ExpectedError(
            f"The upgrade of the database takes longer than {SETUP_SECONDS:.0f} s: see {child.log.path}."
        )
    if child.exit_code == REFUSED:
        raise ExpectedError(child.log.last_lines(1))
    if child.exit_code:
        raise ExpectedError(
            f"Cannot upgrade the database ({ending(child.exit_code)}); the last lines of "
            f"{child.log.path}:\n{child.log.last_lines(6)}"
        )


def _service(
    name: str,
    argv: list[str],
    *,
    environment: dict[str, str],
    once: bool = False,
    probe: Callable[[], bool] | None = None,
) -> ChildSpec:
    return ChildSpec(
        name,
        ProcessSpec(argv, environment, ROOT),
        stop_signal=STOPS[name],
        stop_seconds=STOP_SECONDS,
        restarts=not once,
        probe=probe,
        patience=_patience(),
    )


def _patience() -> float:
    return float(os.environ.get("SLIPWAY_PROBE_PATIENCE") or UNANSWERED_SECONDS)


def web_answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        # A server that refuses the name of the host with a 400 answers too.
        return connection.getresponse().status < http.HTTPStatus.INTERNAL_SERVER_ERROR
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _greet(data: DataDir, options: Options, *, first: bool) -> None:
    say(f"Slipway runs at {options.url}  (Ctrl-C stops it)")
    # Only a terminal gets them: a journal or a log file would keep them, readable for others.
    if first and sys.stdout.isatty():
        say(f"  user      admin\n  password  {_content(data.admin_password)}")
        say(f"  token     {_content(data.admin_token)}   (valid for a year)")
    for file in (data.admin_password, data.admin_token):
        if file.exists():
            say(f"  kept in   {file}")
    say(f"  logs in   {data.logs}")
    if sentence := kubernetes.greeting():
        say(f"  {sentence}")
    has_display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if options.browser and sys.stdout.isatty() and has_display:
        webbrowser.open(options.url)


def _content(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""
