"""The behaviour of the test command, checked by runs of pytest in a separate folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.tooling import providers, tiers

ROOT = Path(__file__).resolve().parents[2]
TESTS = """
import os
import pytest

def test_passes():
    assert os.environ["DATABASE_URL"].startswith("postgresql://slipway@")

@pytest.mark.skip(reason="no such machinery; install it by that command")
def test_needs_machinery():
    pass
"""


def _run(folder: Path, *, required: bool) -> "subprocess.CompletedProcess[str]":
    (folder / "test_some.py").write_text(TESTS)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("DATABASE", "PYTEST"))
    }
    environment["SLIPWAY_REQUIRE"] = "all" if required else ""
    options = ["-p", "tests.conftest", "--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml")]
    command = [sys.executable, "-m", "pytest", *options, str(folder)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_a_skip_is_loud_and_the_tiers_that_ran_are_named(tmp_path: Path) -> None:
    done = _run(tmp_path, required=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tiers: pure 1" in done.stdout
    assert "NOT RUN: Skipped: no such machinery; install it by that command" in done.stdout


def test_a_skip_fails_where_everything_is_required(tmp_path: Path) -> None:
    assert _run(tmp_path, required=True).returncode == 1


@pytest.mark.parametrize(
    ("codes", "expected"), [((0, 0), 0), ((0, 5), 0), ((5, 5), 5), ((1, 5), 1), ((0, 2), 2), ((2, 1), 2)]
)
def test_the_worst_of_several_runs_counts(codes: tuple[int, int], expected: int) -> None:
    assert tiers.worse(*codes) == expected


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ([], True),
        (["-x"], True),
        (["tests/standalone"], False),
        (["tests/console"], True),
        (["-k", "quota"], True),
    ],
)
def test_a_browser_is_provided_when_its_tests_may_run(arguments: list[str], wanted: bool) -> None:
    assert providers.needs_browser(arguments) is wanted


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ([], True),
        (["tests/tenants"], False),
        (["tests/kube"], True),
        (["-m", "kube"], True),
        (["-m", "not kube"], False),
    ],
)
def test_a_kubernetes_is_provided_when_its_tests_may_run(arguments: list[str], wanted: bool) -> None:
    assert providers.needs_kubernetes(arguments) is wanted


@pytest.mark.parametrize("question", ["--help", "-h"])
def test_help_installs_nothing_and_starts_no_test(
    question: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for provide in ("provide_browser", "provide_kubernetes", "_pytest"):
        monkeypatch.delattr(tiers, provide)
    assert tiers.run_tests([question]) == 0
    assert "python3 manage.py test" in capsys.readouterr().out
