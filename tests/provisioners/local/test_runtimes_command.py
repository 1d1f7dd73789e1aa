"""`manage.py runtimes`: lists the runtimes of apps, and installs them."""

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from controlplane.management.commands import runtimes
from tests.provisioners.local.test_runtimes import prepared


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings) -> None:
    settings.DATA_DIR = tmp_path
    monkeypatch.delenv("SLIPWAY_RUNTIME_CACHE", raising=False)


def run(*words: str) -> str:
    said = io.StringIO()
    call_command("runtimes", *words, stdout=said, stderr=said)
    return said.getvalue()


def test_it_lists_runtimes_that_are_not_installed():
    assert "spark 4.3.0: not installed\n" in run("list")


def test_it_knows_only_apps_of_the_catalogue():
    with pytest.raises(CommandError, match="There is no app nowhere"):
        run("fetch", "nowhere")


def test_it_fetches_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runtimes, "load", lambda: [prepared(f"echo once >> {tmp_path}/count")])
    assert "tiny 1: finishing tiny 1\n" in run("fetch")
    assert "tiny 1: installed at " in run("list", "tiny")
    assert (tmp_path / "count").read_text() == "once\n"


def test_fetching_again_repeats_the_last_step(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runtimes, "load", lambda: [prepared('echo "no archive" > "$RUNTIME_HOME/.notice"')])
    said = run("fetch")
    assert "tiny 1: no archive\n" in said
    home = Path(said.rpartition("installed at ")[2].splitlines()[0])
    (home / ".notice").unlink()
    assert "no archive" not in run("list")
    assert "tiny 1: no archive\n" in run("fetch")


def test_it_says_why_one_could_not_be_fetched(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runtimes, "load", lambda: [prepared("echo no room; exit 1")])
    with pytest.raises(CommandError, match="1 could not be installed"):
        run("fetch")
