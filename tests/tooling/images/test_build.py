"""A build leaves a complete archive or none. A script stands in for Buildah."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane.standalone.installation.errors import ExpectedError
from deploy.tooling.images import archive
from deploy.tooling.images.build import build, provide_tools, step
from deploy.tooling.images.image import Image
from templates.catalog import load
from tests.tooling.images.test_archive import write

ROOT = Path(__file__).resolve().parents[3]
BASE = "localhost/other:1"
# The script records its arguments, and fails or hangs when a file says so.
BUILDAH = """#!/bin/sh
here=$(dirname "$0")
echo "$5" >>"$here/calls"
case $5 in
build) echo "STEP 1/1: RUN --mount=type=secret,id=ca install"; [ ! -e "$here/fail" ] || { echo no room; exit 1; };;
inspect) echo 0123456789ab;;
push)
    place=${7#docker-archive:}
    head -c 600 "$here/sample.tar" >"${place%%:localhost/*}"
    while [ -e "$here/hang" ]; do echo $$ >"$here/pid"; sleep 0.05; done
    cat "$here/sample.tar" >"${place%%:localhost/*}";;
esac
"""


@pytest.fixture(autouse=True)
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "tools"
    place.mkdir()
    (place / "buildah").write_text(BUILDAH)
    (place / "buildah").chmod(0o755)
    manifest = json.dumps([{"Config": "c.json", "RepoTags": [], "Layers": []}]).encode()
    write(place / "sample.tar", {"c.json": b"{}", "manifest.json": manifest})
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    monkeypatch.setenv("SLIPWAY_IMAGE_CACHE", str(tmp_path / "cache"))
    return place


@pytest.fixture
def image() -> Image:
    app = next(app for app in load() if app.name == "jupyterlab")
    return Image(app, app.runtimes[0], BASE)


def files(image: Image) -> set[str]:
    return {path.name for path in image.archive.parent.iterdir() if path.is_file()} - {"lock"}


def until(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_leaves_an_archive_with_both_names_and_facts(image: Image):
    said: list[str] = []
    build(image, said.append)
    assert archive.tags(image.archive) == list(image.tags)
    assert image.facts["id"] == "0123456789ab"
    assert image.facts["bytes"] == image.archive.stat().st_size
    assert "STEP 1/1: RUN install" in said


def test_an_existing_image_is_not_built_again(image: Image, tools: Path):
    build(image, print)
    calls = (tools / "calls").read_text()
    build(image, print)
    assert (tools / "calls").read_text() == calls


def test_a_failure_shows_the_output_of_the_failed_tool(image: Image, tools: Path):
    (tools / "fail").touch()
    with pytest.raises(ExpectedError, match=r"no room\nThe build failed; its whole output is in .*\.log"):
        build(image, print)
    assert files(image) == {image.beside("log").name}


def test_killed_half_way_it_leaves_no_archive_and_nothing_running(image: Image, tools: Path):
    (tools / "hang").touch()
    command = [sys.executable, "manage.py", "images", "build", "jupyterlab", "--base", BASE]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as running:
        until((tools / "pid").exists)
        running.send_signal(signal.SIGKILL)
    pid = int((tools / "pid").read_text())
    until(lambda: not Path(f"/proc/{pid}").exists())
    assert not image.built
    (tools / "hang").unlink()
    build(image, print)
    assert files(image) == {image.beside(suffix).name for suffix in ("tar", "json", "log")}


def test_a_second_build_waits_for_the_first(image: Image):
    image.archive.parent.mkdir()
    said: list[str] = []
    with (image.archive.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = threading.Thread(target=build, args=(image, said.append))
        second.start()
        until(lambda: "waiting for another build" in said)
        assert not image.built
    second.join(30)
    assert image.built


def test_a_missing_tool_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExpectedError, match="apt install a-package"):
        provide_tools({"no-such-program": "a-package"}, print)


def test_a_step_is_shown_shortened_and_without_its_mounts():
    assert (
        step("STEP 2/4: RUN --mount=type=bind,source=build,target=/mnt     /mnt/x\n")
        == "STEP 2/4: RUN /mnt/x"
    )
    assert len(step("word " * 100)) == 100
