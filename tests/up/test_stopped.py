"""Every management command works while the installation is stopped."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.service import Slipway, wait_for
from tests.up.commands import NEEDS_DATABASE, ONE_SHOT, SERVICES, serve_and_end, serving

pytestmark = [pytest.mark.up, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def stopped(up: Slipway) -> Iterator[Slipway]:
    """A stopped installation whose worker has sealed the audit once, so there is a chain to verify."""
    arguments, expected = ONE_SHOT["audit"]
    wait_for(
        "seal",
        lambda: expected in up.command("audit", *arguments, "--data-dir", str(up.folder)).stdout,
        every=1,
    )
    up.down()
    yield up
    up.up()


@pytest.mark.parametrize("command", sorted(ONE_SHOT))
def test_a_command_works_on_a_stopped_one(stopped: Slipway, command: str) -> None:
    arguments, expected = ONE_SHOT[command]
    done = stopped.command(command, *arguments, "--data-dir", str(stopped.folder))
    assert done.returncode == 0, done.stdout + done.stderr
    assert expected in done.stdout
    if command in NEEDS_DATABASE:
        assert done.stderr == f"using the stopped installation in {stopped.folder}\n"
    assert stopped.processes() == []


@pytest.mark.parametrize("command", SERVICES)
def test_a_service_runs_on_a_stopped_one(stopped: Slipway, command: str, tmp_path: Path) -> None:
    serve_and_end(stopped, command, tmp_path / "said", "using the stopped installation")
    wait_for("end of the database", lambda: stopped.processes() == [], seconds=30)


def test_up_says_that_a_command_holds_the_directory(stopped: Slipway, tmp_path: Path) -> None:
    with serving(stopped, "worker", tmp_path / "said") as worker:
        wait_for("database", lambda: "using the stopped" in (tmp_path / "said").read_text())
        refused = stopped.command("up", "--data-dir", str(stopped.folder), "--no-browser")
        worker.send_signal(signal.SIGTERM)
    assert refused.returncode == 1
    assert f"process {worker.pid} since" in refused.stderr
    assert "a management command. Wait for its end" in refused.stderr
