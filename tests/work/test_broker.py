"""Celery carries the hints where a broker is configured. Without or with a broken broker, sweeps find the work."""

import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import transaction
from pytest_django.fixtures import Settings

from controlplane.clusters.models import Cluster, Site
from controlplane.clusters.services import site_put
from controlplane.standalone.installation.environment import ROOT, python
from controlplane.work import announce
from tenants.access import Access, tenant_for
from tenants.actors import actor_for
from tests import launchable
from tests.cast import cast
from tests.work.installation import environment_of
from tests.work.table import eventually

pytestmark = pytest.mark.django_db(transaction=True)
START_SECONDS = 60.0
# Shorter than a sweep: only a hint can be the cause.
BY_HINT_SECONDS = 3.0
# One sweep and the delays of a busy machine.
BY_SWEEP_SECONDS = 15.0


@pytest.fixture
def folder(tmp_path: Path, settings: Settings) -> Iterator[Path]:
    """The folder of a file-based broker, which this process and `worker` use."""
    folder = tmp_path / "broker"
    folder.mkdir()
    queue, control = str(folder / "queue"), str(folder / "control")
    settings.CELERY_BROKER_URL = "filesystem://"
    settings.CELERY_TRANSPORT_OPTIONS = {
        "data_folder_in": queue,
        "data_folder_out": queue,
        "control_folder": control,
    }
    announce.broker.cache_clear()
    yield folder
    announce.broker.cache_clear()


@pytest.fixture
def bob(settings: Settings) -> Access:
    """A member who may launch the tiny engine on the fake site."""
    settings.FAKE_SITE = True
    people = cast()
    launchable.a_site()
    launchable.a_template(tenant_for(actor_for(people.alice), "acme"))
    return tenant_for(actor_for(people.bob), "acme")


@pytest.fixture
def worker(folder: Path, bob: Access, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A real worker on the tests' database that is connected to the broker."""
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            python("manage.py", "worker", "--threads", "2"),
            cwd=ROOT, env=environment_of(tmp_path), stdout=log, stderr=log,
        )  # fmt: skip
    try:
        hears = eventually(lambda: list((folder / "control").glob("*.exchange")), START_SECONDS)
        assert hears, (tmp_path / "log").read_text()
        site_put(name="fake", kind="fake")
        assert eventually(lambda: Site.objects.get().checked_at)
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, (tmp_path / "log").read_text()
    finally:
        process.kill()
        process.wait()


def becomes_ready(bob: Access, name: str, seconds: float) -> bool:
    cluster = launchable.a_cluster(bob, name)
    return eventually(lambda: Cluster.objects.get(id=cluster.id).phase == "ready", seconds)


def test_a_hint_through_the_broker_reaches_a_worker(worker: subprocess.Popen[bytes], bob: Access) -> None:
    assert becomes_ready(bob, "one", BY_HINT_SECONDS)


def test_work_continues_in_seconds_after_the_brokers_folder_is_deleted(
    worker: subprocess.Popen[bytes], folder: Path, bob: Access
) -> None:
    assert becomes_ready(bob, "one", BY_HINT_SECONDS)
    shutil.rmtree(folder)
    assert becomes_ready(bob, "two", BY_SWEEP_SECONDS)
    assert eventually((folder / "queue").exists)
    assert becomes_ready(bob, "three", BY_HINT_SECONDS)
    assert worker.poll() is None


def test_a_request_does_not_fail_when_the_broker_does(folder: Path, bob: Access) -> None:
    shutil.rmtree(folder)
    assert launchable.a_cluster(bob, "one").phase == "pending"


def test_a_rolled_back_request_sends_no_hint(folder: Path, bob: Access) -> None:
    queue = folder / "queue"
    queue.mkdir()
    with transaction.atomic():
        launchable.a_cluster(bob, "one")
        transaction.set_rollback(True)
    assert not list(queue.iterdir())
    launchable.a_cluster(bob, "one")
    assert eventually(lambda: list(queue.iterdir()))


@pytest.mark.timeout(60)
def test_a_broker_that_does_not_answer_blocks_no_request(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.CELERY_BROKER_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        announce.broker.cache_clear()
        # A call that blocks takes 2 s, so 50 of them would exceed the timeout of the test.
        for _ in range(50):
            announce.announce()
        silent.accept()[0].close()
    announce.broker.cache_clear()
