"""Accounts and tokens on the real web server."""

import re
from base64 import b64encode

import httpx
import pytest

from tests.journeys.service import Slipway

pytestmark = [pytest.mark.up, pytest.mark.timeout(900)]


@pytest.fixture
def password(up: Slipway) -> str:
    return (up.folder / "admin-password").read_text().strip()


def _form(client: httpx.Client, path: str, **fields: str) -> httpx.Response:
    """Sends the form of a page with its hidden token, as a browser without scripts does."""
    hidden = re.search('name="csrfmiddlewaretoken" value="([^"]+)"', client.get(path).text)
    assert hidden, path
    return client.post(path, data={"csrfmiddlewaretoken": hidden[1], **fields})


def test_a_token_that_was_made_in_the_console_opens_the_api(up: Slipway, password: str) -> None:
    with httpx.Client(base_url=up.url, headers={"Referer": up.url}, timeout=60) as browser:
        assert _form(browser, "/login", username="admin", password=password).status_code == 302
        made = _form(browser, "/account/tokens", name="laptop", days="7", reach="all", password=password)
    secret = re.search('id="secret">([^<]+)<', made.text)
    assert secret, made.text
    me = httpx.get(f"{up.url}/api/v1/me", headers={"Authorization": f"Bearer {secret[1]}"}, timeout=60)
    assert me.json()["user"] == "admin"


def test_a_command_line_gets_its_first_token_by_password(up: Slipway, password: str) -> None:
    basic = b64encode(f"admin:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {basic}"}
    made = httpx.post(f"{up.url}/api/v1/tokens", json={"name": "first"}, headers=headers, timeout=60)
    assert made.status_code == 201, made.text


def test_metrics_open_only_with_the_installations_own_token(up: Slipway) -> None:
    assert httpx.get(f"{up.url}/metrics", timeout=60).status_code == 401
    token = (up.folder / "keys" / "metrics").read_text().strip()
    found = httpx.get(f"{up.url}/metrics", headers={"Authorization": f"Bearer {token}"}, timeout=60)
    assert "slipway_up 1.0" in found.text


def test_wrong_tokens_meet_429_and_good_ones_pass(up: Slipway) -> None:
    with httpx.Client(base_url=up.url, timeout=60) as client:
        wrong = [
            client.get("/api/v1/me", headers={"Authorization": "Bearer slw_wrong"}).status_code
            for _ in range(60)
        ]
        good = (up.folder / "admin-token").read_text().strip()
        assert client.get("/api/v1/me", headers={"Authorization": f"Bearer {good}"}).status_code == 200
    assert (wrong[0], 429 in wrong) == (401, True)
