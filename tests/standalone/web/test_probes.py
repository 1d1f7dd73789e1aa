"""The probes' own listener."""

import http.client
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from django.core.wsgi import get_wsgi_application
from django.test import Client

from controlplane.standalone.web.ports import HOST
from controlplane.standalone.web.probes import MOST_THREADS, ProbeServer, offer_probes
from tests.standalone.conftest import eventually

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server() -> Iterator[ProbeServer]:
    running = ProbeServer(0, get_wsgi_application(), seconds=60)
    thread = threading.Thread(target=running.serve_forever, args=[0.05])
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


def status(server: ProbeServer, path: str, host: str = "elsewhere") -> int:
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=20)
    try:
        connection.request("GET", path, headers={"Host": host})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_are_answered_for_every_host_name(server: ProbeServer, path: str) -> None:
    assert status(server, path) == 200


def test_metrics_are_answered_as_on_the_web_server(server: ProbeServer) -> None:
    assert status(server, "/metrics") == Client().get("/metrics").status_code


@pytest.mark.parametrize("path", ["/login", "/api/v1/me"])
def test_other_paths_are_not_found(server: ProbeServer, path: str) -> None:
    assert status(server, path) == 404


def test_idle_connections_release_their_threads(server: ProbeServer) -> None:
    # The first request imports modules, which takes longer.
    assert status(server, "/healthz") == 200
    server.seconds = 1
    idle = [socket.create_connection((HOST, server.server_port)) for _ in range(MOST_THREADS + 4)]
    try:
        assert eventually(lambda: status(server, "/healthz") == 200)
    finally:
        for connection in idle:
            connection.close()


def test_its_address_is_written_to_a_file(tmp_path: Path) -> None:
    offer_probes(get_wsgi_application(), port=0, address_file=tmp_path / "health")
    with urlopen((tmp_path / "health").read_text().strip() + "/healthz", timeout=20) as answer:  # noqa: S310
        assert answer.status == 200


def test_a_port_that_is_taken_stops_nothing(server: ProbeServer, tmp_path: Path) -> None:
    offer_probes(get_wsgi_application(), port=server.server_port, address_file=tmp_path / "health")
    assert not (tmp_path / "health").exists()
