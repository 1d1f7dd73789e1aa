import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controlplane.standalone.installation.datadir import DataDir, open_data_dir
from controlplane.standalone.installation.environment import MARK
from controlplane.standalone.installation.owner import database_owner
from controlplane.standalone.supervise.child import Child, ChildSpec
from controlplane.standalone.supervise.command import ProcessSpec
from controlplane.standalone.supervise.supervisor import Supervisor

SECONDS = 20.0
# Prints "there" and then waits for ever.
WAITS = "import signal, sys; print('there', flush=True); signal.pause()"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's user can enter, unlike pytest's own."""
    owner = database_owner()
    usual = Path(tempfile.gettempdir())
    made = Path(
        tempfile.mkdtemp(prefix="slipway-", dir=usual if not owner or owner.may_enter(usual) else "/tmp")
    )
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def data(folder: Path) -> DataDir:
    return open_data_dir(folder / "data")


@pytest.fixture
def said() -> list[str]:
    """The lines that the supervisor prints."""
    return []


@pytest.fixture
def supervisor(data: DataDir, said: list[str]) -> Iterator[Supervisor]:
    running = Supervisor(data, say=said.append)
    with running.signals():
        yield running
        running.stop(["one", "two", "postgres"])


def program(data: DataDir, code: str, *, name: str = "one", **options: object) -> ChildSpec:
    """Returns a service that runs one line of Python."""
    environment = {"PYTHONUNBUFFERED": "1", MARK: data.id}
    return ChildSpec(name, ProcessSpec([sys.executable, "-c", code], environment, data.root), **options)  # type: ignore[arg-type]


def has_said(child: Child, text: str) -> Callable[[], bool]:
    return lambda: text in child.log.last_lines(100)


def eventually(condition: Callable[[], bool], seconds: float = SECONDS) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
