"""Every management command works while the installation runs."""

import json
from pathlib import Path

import pytest

from tests.journeys.service import Slipway
from tests.up.commands import ELSEWHERE, NEEDS_DATABASE, ONE_SHOT, SERVICES, serve_and_end

pytestmark = [pytest.mark.up, pytest.mark.timeout(900)]


def test_every_command_is_in_one_of_the_lists(up: Slipway) -> None:
    packages = ("controlplane/management", "tenants/management", "deploy/tooling")
    there = {file.stem for package in packages for file in (up.root / package / "commands").glob("[a-z]*.py")}
    assert there == (ONE_SHOT.keys() | set(SERVICES) | ELSEWHERE) - {"migrate", "shell"}


@pytest.mark.parametrize("command", sorted(ONE_SHOT))
def test_a_command_finds_the_running_installation(up: Slipway, command: str) -> None:
    arguments, expected = ONE_SHOT[command]
    done = up.command(command, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert expected in done.stdout
    if command in NEEDS_DATABASE:
        assert done.stderr == f"using the running installation in {up.folder}\n"


@pytest.mark.parametrize("command", SERVICES)
def test_a_service_runs_beside_it(up: Slipway, command: str, tmp_path: Path) -> None:
    serve_and_end(up, command, tmp_path / "said", "using the running installation")


def test_a_folder_without_an_installation_is_refused_with_a_clear_error(up: Slipway, tmp_path: Path) -> None:
    refused = up.command("audit", "verify", "--data-dir", str(tmp_path))
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"There is no installation in {tmp_path}: start one with `up`")


def test_the_doctor_knows_where_it_runs(up: Slipway) -> None:
    parts = {part["name"]: part for part in json.loads(up.command("doctor", "--json").stdout)["parts"]}
    assert parts["port"]["detail"] == f"{up.port}, where Slipway runs now"
    assert parts["installation"]["detail"].startswith(f"{up.folder} runs at {up.url} since 20")
