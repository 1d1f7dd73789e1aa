"""A worker serves its metrics on its own port when it shares no data directory with the web process."""

import socket
import urllib.request

import pytest
from django.core.management import CommandError
from pytest_django.fixtures import Settings

from controlplane.management.commands.worker import _offer_metrics
from tests.monitoring.scrape import names, samples

HOST = "127.0.0.1"


@pytest.fixture(autouse=True)
def no_data_directory(settings: Settings, tmp_path: object) -> None:
    settings.DATA_DIR = tmp_path


def free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


def test_the_port_serves_the_metrics_of_the_process() -> None:
    port = free_port()
    _offer_metrics(HOST, port)
    with urllib.request.urlopen(f"http://{HOST}:{port}/metrics") as page:
        found = samples(page.read().decode())
    assert {"slipway_sweep_lag_seconds_bucket", "process_resident_memory_bytes"} <= names(found)


def test_a_port_that_is_taken_gives_a_sentence() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=f"Cannot serve metrics at {HOST}:{port}"):
            _offer_metrics(HOST, port)
