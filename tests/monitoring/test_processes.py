"""The metrics page of the web process has the metrics of workers, and shows which workers are down."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.registry import CollectorRegistry

from controlplane.metrics import peers
from controlplane.monitoring.collector import Processes
from controlplane.standalone.installation.environment import ROOT, python
from tests.monitoring.scrape import Samples, samples, value

# Counts three passes and offers its metrics until its input ends.
OTHER = """
import sys
from pathlib import Path
from controlplane.metrics import instruments, peers
instruments.PASSES.labels("cluster", "done").inc(3)
offered = peers.offer(Path(sys.argv[1]), "worker")
print(offered.name, flush=True)
sys.stdin.read()
"""


def shown(folder: Path) -> Samples:
    registry = CollectorRegistry()
    registry.register(Processes(folder))
    return samples(generate_latest(registry).decode())


def start(folder: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        python("-c", OTHER, str(folder)), cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout
    return process, process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose path is too long for the address of a Unix socket."""
    deep = tmp_path / ("d" * 120) / "run"
    deep.mkdir(parents=True)
    return deep


@pytest.fixture
def worker(folder: Path) -> Iterator[subprocess.Popen[str]]:
    process, _ = start(folder)
    yield process
    end(process)


def test_metrics_of_a_worker_have_its_label(folder: Path, worker: subprocess.Popen[str]) -> None:
    found = shown(folder)
    labels = {"kind": "cluster", "outcome": "done"}
    assert value(found, "slipway_passes_total", process="worker", **labels) == 3
    assert value(found, "slipway_process_up", process="worker") == 1
    assert value(found, "process_resident_memory_bytes", process="worker")
    assert value(found, "process_resident_memory_bytes", process="web")


def test_a_killed_worker_is_down_and_the_others_are_shown(
    folder: Path, worker: subprocess.Popen[str]
) -> None:
    end(worker)
    found = shown(folder)
    assert value(found, "slipway_process_up", process="worker") == 0
    assert value(found, "slipway_process_up", process="web") == 1
    assert value(found, "process_resident_memory_bytes", process="web")


def test_a_restarted_worker_has_the_same_name(folder: Path, worker: subprocess.Popen[str]) -> None:
    end(worker)
    successor, name = start(folder)
    try:
        assert name == "worker"
        assert value(shown(folder), "slipway_process_up", process="worker") == 1
    finally:
        end(successor)


def test_a_second_worker_has_another_name(folder: Path, worker: subprocess.Popen[str]) -> None:
    second, name = start(folder)
    try:
        assert name == "worker-2"
        assert value(shown(folder), "slipway_process_up", process="worker-2") == 1
    finally:
        end(second)


def test_a_worker_that_hangs_delays_the_scrape_by_its_timeout(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "TIMEOUT_SECONDS", 0.1)
    with peers._short(folder) as near, socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{near}/worker{peers.SUFFIX}")
        silent.listen()
        assert value(shown(folder), "slipway_process_up", process="worker") == 0


def test_an_incomplete_answer_is_ignored(folder: Path) -> None:
    class Cut(peers._Reply):
        def handle(self) -> None:
            self.request.sendall(b"# TYPE slipway_passes_total counter\nslipway_passes_total 1")

    with peers._short(folder) as near:
        server = peers._Server(f"{near}/worker{peers.SUFFIX}", Cut)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    assert value(shown(folder), "slipway_process_up", process="worker") == 0
    thread.join(10)
    server.server_close()


def test_without_a_folder_only_web_is_shown(tmp_path: Path) -> None:
    assert value(shown(tmp_path / "none"), "slipway_process_up", process="web") == 1
