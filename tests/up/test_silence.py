"""A process that lives but does not answer is restarted, and a message says so."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.journeys.service import Slipway, wait_for
from tests.up.clone import PYTHON

pytestmark = [pytest.mark.up, pytest.mark.timeout(900)]
SECONDS = 180.0


@pytest.fixture(scope="module")
def impatient(up: Slipway, place: Path) -> Iterator[Slipway]:
    """Another installation of the same clone."""
    environment = {"SLIPWAY_PROBE_PATIENCE": "10", "SLIPWAY_FETCH_RUNTIMES": "0"}
    service = Slipway(place / "silent", environment, root=up.root, python=PYTHON)
    try:
        yield service.up()
    finally:
        service.leave()


@pytest.mark.parametrize("name", ["web", "worker", "postgres"])
def test_a_suspended_process_is_restarted(impatient: Slipway, name: str) -> None:
    first = impatient.pid(name)
    before = impatient.said.count(f"{name} has not answered for")
    os.kill(_serving(first), signal.SIGSTOP)
    wait_for(
        "the words", lambda: impatient.said.count(f"{name} has not answered for") > before, seconds=SECONDS
    )
    wait_for("another process", lambda: _pid(impatient, name) not in {0, first}, seconds=SECONDS)
    wait_for("readiness", impatient.is_ready, seconds=SECONDS)


def test_a_database_that_stays_in_recovery_is_restarted(impatient: Slipway) -> None:
    postmaster = impatient.pid("postgres")
    os.kill(_child(postmaster, "background writer"), signal.SIGKILL)
    deadline = time.monotonic() + 10
    while not (recovering := _child(postmaster, "startup")) and time.monotonic() < deadline:
        pass
    if recovering:
        with suppress(ProcessLookupError):
            os.kill(recovering, signal.SIGKILL)
    wait_for("readiness", impatient.is_ready, seconds=SECONDS)


def _serving(pid: int) -> int:
    """The pid of the serving process: a child of granian for web, else the process itself."""
    with suppress(OSError):
        if b"granian" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[-1])
    return pid


def _child(parent: int, word: str) -> int:
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        with suppress(OSError):
            if word.encode() in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
    return 0


def _pid(service: Slipway, name: str) -> int:
    try:
        return service.pid(name)
    except (FileNotFoundError, ValueError):
        return 0
