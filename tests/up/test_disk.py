"""A full disk is reported as such."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.journeys.service import Slipway, wait_for
from tests.up.clone import PYTHON

pytestmark = [
    pytest.mark.up,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk to fill"),
]


@contextmanager
def _disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0711", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_reported_and_slipway_recovers_when_space_is_freed(up: Slipway, place: Path) -> None:
    with _disk(place / "disk", "400m") as disk:
        environment = {"SLIPWAY_FETCH_RUNTIMES": "0"}
        service = Slipway(
            disk / "data", environment, root=up.root, python=PYTHON, output=place / "disk.out"
        ).up()
        try:
            _fill(disk / "ballast")
            ready = httpx.get(f"{service.url}/readyz")
            assert (ready.status_code, ready.json()["database"]) == (503, "disk full")
            # PostgreSQL keeps writing until its preallocated pages and log are used up.
            wait_for("refusal", lambda: _refusal(service) == "DISK_FULL")
            (disk / "ballast").unlink()
            wait_for("readiness", service.is_ready)
        finally:
            service.down()


def _refusal(service: Slipway) -> str:
    answer = service.call("POST", "/tenants", {"name": f"t-{uuid4().hex[:12]}"})
    return str(answer.json().get("reason", ""))


def _fill(ballast: Path) -> None:
    with ballast.open("wb") as file, suppress(OSError):
        while True:
            os.write(file.fileno(), bytes(2**16))
