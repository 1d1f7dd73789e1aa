"""`manage.py images` lists images and their paths, and writes a folder for other builders."""

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from deploy.tooling.commands.images import Command


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_IMAGE_CACHE", str(tmp_path / "cache"))


def run(*words: str) -> str:
    said = io.StringIO()
    call_command(Command(), *words, stdout=said)
    return said.getvalue()


def test_it_lists_images_that_are_not_built():
    lines = run("list").splitlines()
    assert [line.split()[0].split(":")[0] for line in lines] == [
        "slipway-dask",
        "slipway-jupyterlab",
        "slipway-spark",
    ]
    assert all(line.endswith("not built") for line in lines)


def test_it_knows_only_apps_of_the_catalogue():
    with pytest.raises(CommandError, match="There is no app nowhere"):
        run("list", "nowhere")


def test_an_image_that_is_not_built_has_no_path():
    with pytest.raises(CommandError, match=r"not built: manage\.py images build spark"):
        run("path", "spark")


def test_a_folder_for_other_builders_comes_with_their_command(tmp_path: Path):
    said = run("context", "spark", str(tmp_path / "spark"))
    assert said.startswith("docker build --build-arg APP=spark --build-arg VERSION=4.3.0 ")
    assert "BASE=debian:bookworm-slim" in said
    named = said.partition("--file ")[2].split()[0]
    assert Path(named) == tmp_path / "spark" / "Containerfile"
    assert Path(named).exists()


def test_a_folder_in_use_is_not_overwritten(tmp_path: Path):
    (tmp_path / "mine").touch()
    with pytest.raises(CommandError, match="is not empty"):
        run("context", "spark", str(tmp_path))
