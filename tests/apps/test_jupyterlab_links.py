"""Links to a notebook: only its current token opens it, and no token appears in its log."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress

import httpx
import pytest
import websocket

from tests.apps.running import Running, running
from tests.journeys.kernel import Kernel
from tests.provisioners.launching import until

pytestmark = [pytest.mark.local, pytest.mark.timeout(1800), pytest.mark.xdist_group("jupyterlab")]

SECONDS = 5


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("links"), "jupyterlab", {"notebook": 1}) as cluster:
        yield cluster


def base(lab: Running) -> str:
    return f"http://{lab.address('notebook-0')}:8888"


def status(lab: Running, token: str) -> int:
    return httpx.get(f"{base(lab)}/api/kernels?token={token}", timeout=20).status_code


@contextmanager
def opened(lab: Running, *paths: str) -> Iterator[list[websocket.WebSocket]]:
    """Opens WebSockets with the current token."""
    with ExitStack() as stack:
        base_url, query = base(lab).replace("http", "ws", 1), f"?token={lab.keys['notebook']}"
        sockets = [
            stack.enter_context(closing(websocket.create_connection(base_url + path + query, timeout=60)))
            for path in paths
        ]
        for socket in sockets:
            socket.settimeout(1)
        yield sockets


def is_closed(socket: websocket.WebSocket) -> bool:
    """Reads the remaining messages and returns whether the server has closed the connection."""
    with suppress(websocket.WebSocketConnectionClosedException, ConnectionError):
        try:
            while socket.recv():
                pass
        except websocket.WebSocketTimeoutException:
            return False
    return True


def test_the_log_contains_no_token(lab: Running):
    token, other = lab.keys["notebook"], "5ec2e7" * 10
    link = f"{base(lab)}/lab?token="
    for path, headers in (
        (f"/api/contents/missing?token={token}", {}),
        (f"/api/contents/missing?type=file&token={other}", {}),
        (f"/nowhere?token=%{ord(token[0]):x}{token[1:]}", {}),
        ("/api/contents/missing", {"Referer": link + token}),
        ("/api/kernels", {"Referer": link + other}),
        (f"/login?next=%2Flab%3Ftoken%3D{token}", {}),
        (f"/api/kernels/none/channels?token={token}", {}),
        (f"/api/contents/x?type=nonsense&token={token}", {"Referer": link + token}),
    ):
        httpx.get(base(lab) + path, headers=headers, timeout=20)
    httpx.post(f"{base(lab)}/api/kernels?token={token}", content=b"{", timeout=20)
    httpx.get(f"{base(lab)}/last-of-all", timeout=20)
    until(lambda: "last-of-all" in lab.log("notebook-0"), SECONDS)
    log = lab.site.logs(lab.wish.cluster, lab._ref("notebook-0"), tail_bytes=2**20).decode()
    assert "/api/contents/missing" in log
    assert [line for line in log.splitlines() if token[1:] in line or other in line] == []


def test_a_replaced_token_is_refused_and_its_connections_are_closed(lab: Running):
    before = lab.keys["notebook"]
    kernel = Kernel(lab.page("notebook-0", 8888))
    kernel.run("kept = 42")
    terminal = kernel.api("POST", "/api/terminals").json()["name"]
    paths = (f"/api/kernels/{kernel.id}/channels", f"/terminals/websocket/{terminal}")
    with opened(lab, *paths) as sockets, httpx.Client(base_url=base(lab), timeout=20) as browser:
        browser.get(f"/lab?token={before}")
        assert browser.get("/api/kernels").status_code == 200
        lab.rotate("notebook")
        until(lambda: status(lab, before) == 403, SECONDS)
        assert browser.get("/api/kernels").status_code == 403
        until(lambda: all(map(is_closed, sockets)), SECONDS)
    again = Kernel(lab.page("notebook-0", 8888), kernel.id)
    assert again.run("print(kept)") == "42\n"
    assert lab.hook("notebook-0", "ready")[0] == 0


def test_a_stale_worker_does_not_restore_old_links(lab: Running):
    old = lab.wish
    lab.rotate("notebook")
    until(lambda: status(lab, lab.keys["notebook"]) == 200, SECONDS)
    lab.site.apply(old)
    assert lab.hook("notebook-0", "ready")[0] == 0
    assert status(lab, old.secrets["notebook"]) == 403
