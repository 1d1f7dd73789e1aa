"""The log of a node."""

import pytest

from controlplane.clusters.services import cluster_stop
from controlplane.console.logs import readable
from tests.console.conftest import SignIn, World
from tests.reconciler.settling import settle

URL = "/t/acme/clusters/one/nodes/head-0/log"


def test_the_end_of_the_log_is_shown(sign_in: SignIn, world: World) -> None:
    settle(world.launch())
    assert "head-0 of one wrote this" in sign_in("bob").get(URL).content.decode()


def test_it_is_still_there_after_a_stop(sign_in: SignIn, world: World) -> None:
    cluster = settle(world.launch())
    cluster_stop(access=world.bob, cluster="one")
    settle(cluster)
    assert "head-0 of one wrote this" in sign_in("bob").get(URL).content.decode()


def test_a_node_that_never_was_is_not_found(sign_in: SignIn, world: World) -> None:
    settle(world.launch())
    for node in ("head-7", "..", "%00", "a" * 300):
        assert sign_in("bob").get(f"/t/acme/clusters/one/nodes/{node}/log").status_code == 404


@pytest.mark.parametrize(("who", "status"), [("alice", 200), ("root", 200), ("carol", 403), ("charlie", 404)])
def test_only_admins_read_the_logs_of_others(sign_in: SignIn, world: World, who: str, status: int) -> None:
    settle(world.launch())
    assert sign_in(who).get(URL).status_code == status


@pytest.mark.parametrize("lines", ["", "0", "-5", "1e9", "1000", "%00"])
def test_any_number_of_lines_gets_an_answer(sign_in: SignIn, world: World, lines: str) -> None:
    settle(world.launch())
    assert sign_in("bob").get(f"{URL}?lines={lines}").status_code == 200


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"\x1b[31mred\x1b[0m", "red"),
        (b"10%\r55%\r100%\n", "100%\n"),
        (b"one\r\ntwo\r\n", "one\ntwo\n"),
        (b"\xff\x00\x07ok", "\N{REPLACEMENT CHARACTER}ok"),
        ("naïve\ttab\n".encode(), "naïve\ttab\n"),
    ],
)
def test_terminal_escapes_are_made_readable(raw: bytes, shown: str) -> None:
    assert readable(raw) == shown


def test_a_log_is_never_markup(sign_in: SignIn, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(world.launch())
    monkeypatch.setattr("controlplane.console.logs.tail", lambda *_: b"<script>alert(1)</script>")
    assert "&lt;script&gt;" in sign_in("bob").get(URL).content.decode()
