"""Streamed answers and static files of the real web server."""

import httpx
import pytest

from tests.journeys.service import Slipway

pytestmark = [pytest.mark.up, pytest.mark.timeout(900)]


def test_a_followed_log_comes_while_it_is_written(up: Slipway, notebook: str) -> None:
    token = (up.folder / "admin-token").read_text().strip()
    path = f"/api/v1/tenants/demo/clusters/{notebook}/nodes/notebook-0/logs"
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.stream("GET", f"{up.url}{path}?follow=true", headers=headers, timeout=60) as answer:
        assert answer.status_code == 200
        first = next(answer.iter_text())
    assert "Jupyter" in first


@pytest.mark.parametrize(
    "name",
    [
        "console/console.css",
        "console/console.js",
        "drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js",
    ],
)
def test_static_files_are_served_whole(up: Slipway, name: str) -> None:
    answer = httpx.get(f"{up.url}/static/{name}")
    assert answer.status_code == 200
    assert len(answer.content) == int(answer.headers["Content-Length"])
