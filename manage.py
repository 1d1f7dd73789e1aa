#!/usr/bin/env python3
"""Slipway's command. It needs only Python: the first run installs everything else into .venv beside this file.

It imports only the standard library, and its syntax is old enough for an old Python to read its error message.
"""

from __future__ import annotations

import collections
import contextlib
import fcntl
import hashlib
import importlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

OLDEST_PYTHON = (3, 11)
ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
# Written at the end of an installation, so that an interrupted one never counts as finished.
MARKER = VENV / ".slipway-lock"
# Exists while the environment itself is being made.
UNFINISHED = VENV / ".slipway-unfinished"
LOCKS = {"run": ROOT / "deploy" / "requirements.lock", "dev": ROOT / "deploy" / "requirements-dev.lock"}
# A checkout has these commands in deploy/tooling/. The product does not need that folder.
DEVELOPER_COMMANDS = {"test", "lint", "images", "devkube"}
# These two also need the packages of developers, such as pytest.
NEED_DEVELOPER_PACKAGES = {"test", "lint"}
# These start without Django's applications: that is quicker, and the supervisor of `up` stays small.
LIGHT_COMMANDS = {"up", "doctor", "test", "lint"}
# These variables make Python look for modules elsewhere.
MISLEADING = {"PYTHONPATH", "PYTHONHOME"}
NEEDED_MODULES = ("django", "psycopg2", "granian")
HELP = """usage: python3 manage.py COMMAND [options]

  up        run Slipway on this machine: http://127.0.0.1:8000
  doctor    list each part that is ok, missing or unsafe, and what to do
  site      register, list and prove Kubernetes sites, say who may use them
  test      run the tests
  lint      check style, types and layers
  images    build the container images of the apps
  devkube   run a one-node Kubernetes for development
  help      list every other command

COMMAND --help explains one of them. A command works on the installation that runs, or on the one in the default data
directory; --data-dir names another. The first run installs what is needed into .venv beside this file."""


class SentenceError(Exception):
    """Ends the command with its message instead of a stack trace."""


def main() -> None:
    if sys.version_info < OLDEST_PYTHON:
        found = ".".join(str(part) for part in sys.version_info[:3])
        raise SentenceError(f"Slipway needs Python 3.11 or newer; this is {found} ({sys.executable}).")
    command = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if command in {"-h", "--help"}:
        print(HELP)
        return
    if command == "help" and len(sys.argv) > 2 and sys.argv[2] in DEVELOPER_COMMANDS:
        # Django does not know them.
        sys.argv[1:] = [sys.argv[2], "--help"]
        command = sys.argv[1]
    kind = "dev" if command in NEED_DEVELOPER_PACKAGES else "run"
    if Path(sys.prefix).resolve() != VENV.resolve() and not (kind == "run" and is_installed_here()):
        ensure_environment(kind)
        restart_in_venv()
    if Path(sys.prefix).resolve() == VENV.resolve():
        if MISLEADING.intersection(os.environ):
            restart_in_venv()
        ensure_environment(kind)
    dispatch(command)


def restart_in_venv() -> None:
    """Replace this process by the same command in .venv, without the caller's module paths."""
    environment = {name: value for name, value in os.environ.items() if name not in MISLEADING}
    os.execve(PYTHON, [str(PYTHON), str(ROOT / "manage.py"), *sys.argv[1:]], environment)  # noqa: S606


def dispatch(command: str) -> None:
    # The caller's environment may name the settings of another Django project.
    os.environ["DJANGO_SETTINGS_MODULE"] = "controlplane.settings"
    if command in DEVELOPER_COMMANDS and not (ROOT / "deploy" / "tooling").is_dir():
        raise SentenceError(
            f"`{command}` is for developers: it needs the folder deploy/tooling of a checkout."
        )
    if command in LIGHT_COMMANDS:
        load_command(command).run_from_argv(sys.argv)
    else:
        run_attached(command)


def load_command(name: str) -> Any:
    package = "deploy.tooling" if name in DEVELOPER_COMMANDS else "controlplane.management"
    return importlib.import_module(package + ".commands." + name).Command()


def run_attached(command: str) -> None:
    """Run a command of Django or ours with the environment of the chosen installation."""
    attach = importlib.import_module("controlplane.standalone.attach")
    try:
        with attach.attached(sys.argv) as arguments:
            if command in DEVELOPER_COMMANDS:
                load_command(command).run_from_argv(arguments)
            else:
                importlib.import_module("django.core.management").execute_from_command_line(arguments)
    except attach.ExpectedError as failure:
        raise SentenceError(str(failure)) from failure


def is_installed_here() -> bool:
    """Whether the running Python already has all packages of the lock, as in a container image."""
    if VENV.exists() or any(importlib.util.find_spec(name) is None for name in NEEDED_MODULES):
        return False
    metadata = importlib.import_module("importlib.metadata")
    try:
        return all(metadata.version(name) == version for name, version in locked_versions(LOCKS["run"]))
    except metadata.PackageNotFoundError:
        return False


def locked_versions(lock: Path) -> Iterator[tuple[str, str]]:
    """Yields name and version of each package that the lock installs for every Python version."""
    for line in lock.read_text(encoding="utf-8").splitlines():
        found = re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+) *\\?$", line)
        if found:
            yield found.group(1), found.group(2)


def ensure_environment(kind: str) -> None:
    """Install the packages of the lock into .venv, unless they are there. Two commands at once take turns."""
    if is_current(kind):
        return
    with exclusively() as lock:
        if not is_current(kind):
            install(kind, lock)


def digest(kind: str) -> str:
    return hashlib.sha256(LOCKS[kind].read_bytes()).hexdigest()


def recorded() -> dict[str, str]:
    try:
        content = json.loads(MARKER.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def is_current(kind: str) -> bool:
    return PYTHON.exists() and recorded().get(kind) == digest(kind) and has_needed_modules()


def has_needed_modules() -> bool:
    return all(any(VENV.glob("lib/python3*/site-packages/" + name)) for name in NEEDED_MODULES)


@contextlib.contextmanager
def exclusively() -> Iterator[int]:
    """Hold the lock of the installation. Yields its file descriptor.

    The lock is on the project's folder itself, because a lock file would have to be in the environment. Programs
    that change the environment inherit the descriptor, so the lock lasts until the last of them has ended.
    """
    folder = os.open(str(ROOT), os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another command is installing the dependencies; waiting for it", file=sys.stderr)
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(folder)


def install(kind: str, lock: int) -> None:
    # A developer's environment stays one. Otherwise its tools would keep older versions than their lock names.
    wanted = "dev" if "dev" in recorded() else kind
    if UNFINISHED.exists() or not PYTHON.exists():
        make_environment(lock)
    MARKER.unlink(missing_ok=True)
    install_packages(LOCKS[wanted], lock)
    # The developers' lock contains all packages of the other one.
    kinds = ("run", "dev") if wanted == "dev" else ("run",)
    unfinished = MARKER.with_suffix(".new")
    unfinished.write_text(json.dumps({each: digest(each) for each in kinds}), encoding="utf-8")
    unfinished.replace(MARKER)


def make_environment(lock: int) -> None:
    if not importlib.util.find_spec("venv") or not importlib.util.find_spec("ensurepip"):
        raise SentenceError(missing_venv())
    if os.pathsep in str(VENV):
        raise SentenceError(
            f"Python cannot make an environment in a folder with a {os.pathsep!r} in its path: move {ROOT}."
        )
    say("making an environment in " + str(VENV))
    VENV.mkdir(exist_ok=True)
    UNFINISHED.touch()
    # An earlier attempt may have left files, or links to a Python that is gone.
    for entry in VENV.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry != UNFINISHED:
            entry.unlink()
    command = [sys.executable, "-m", "venv", str(VENV)]
    made = subprocess.run(
        command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=[lock]
    )
    if made.returncode != 0 and "ensurepip" in made.stdout:
        raise SentenceError(missing_venv())
    if made.returncode != 0:
        raise SentenceError(last_lines(made.stdout.splitlines()) + "\n" + advice(made.stdout))
    UNFINISHED.unlink()


def missing_venv() -> str:
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    return (
        f"This Python cannot make environments. On Debian and Ubuntu: apt install python3-venv ({package})."
    )


def install_packages(requirements: Path, lock: int) -> None:
    total = sum(1 for _ in locked_versions(requirements))
    # The lock is complete. If pip resolved it, it would try newer releases of packages with extras, and fail for
    # want of their hashes.
    complete = ["--no-deps", "--require-hashes"]
    options = [*complete, "--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    command = [str(PYTHON), "-m", "pip", "install", *options, "-r", str(requirements)]
    tail: collections.deque[str] = collections.deque(maxlen=12)
    settings = importlib.import_module("controlplane.provisioners.local.runtimes.pip_settings")
    try:
        environment = settings.pip_environment(str(PYTHON), os.environ)
    except subprocess.CalledProcessError as failure:
        raise SentenceError(
            last_lines(failure.stderr.splitlines()) + "\n" + advice(failure.stderr)
        ) from failure
    with subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=[lock], env=environment
    ) as pip:
        try:
            follow(pip.stdout or (), tail, total)
        except BaseException:
            pip.terminate()
            raise
    finish_progress("dependencies installed" if pip.returncode == 0 else "")
    if pip.returncode != 0:
        raise SentenceError(last_lines(list(tail)) + "\n" + advice("\n".join(tail)))


def follow(output: Iterable[str], tail: collections.deque[str], total: int) -> None:
    """Print the progress of pip. `tail` receives its lines of output."""
    done = 0
    for line in output:
        tail.append(line.rstrip())
        if line.startswith(("Collecting ", "Requirement already satisfied: ")):
            done = min(done + 1, total)
            progress(f"installing dependencies {done} of {total}")
        elif line.startswith("Installing collected packages"):
            progress(f"installing dependencies: unpacking {done}")


def last_lines(lines: list[str]) -> str:
    return "\n".join("  " + line for line in lines[-12:] if line.strip())


def advice(output: str) -> str:
    if "No space left on device" in output:
        return f"The disk that holds {VENV} is full: free some space and run the same command again."
    return (
        "The dependencies could not be installed. Check that this machine reaches its package index "
        "(python3 -m pip config list), then run the same command again: it continues where it stopped."
    )


def say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def progress(sentence: str) -> None:
    if sys.stderr.isatty():
        print("\r\033[K" + sentence, end="", file=sys.stderr, flush=True)


def finish_progress(sentence: str) -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    if sentence:
        say(sentence)


if __name__ == "__main__":
    try:
        main()
    except SentenceError as failure:
        sys.exit("\n" + str(failure) if "\n" in str(failure) else str(failure))
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. Run the same command again: it continues where it stopped.")
