"""A worker is killed during a pass: another one takes over, at the latest when the lease expires."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.standalone.installation.environment import ROOT, python
from controlplane.work.claim import claim, release
from controlplane.work.lease_owner import lease_owner, release_dead_leases
from controlplane.work.models import Work
from tests.work.installation import environment_of
from tests.work.table import KINDS, eventually, expire_leases, row, woken

pytestmark = pytest.mark.django_db(transaction=True, available_apps=["controlplane.work"])
# Runs a worker whose only pass never ends.
STUCK = """
import django, signal
django.setup()
from controlplane.work.loop import Loop
Loop({"cluster": lambda claimed: signal.sigwait([signal.SIGUSR1])}, threads=1).run()
"""


@pytest.fixture
def stuck_worker(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(python("-c", STUCK), cwd=ROOT, env=environment_of(tmp_path))
    yield process
    process.kill()
    process.wait()


def test_its_row_is_claimed_again_once_the_lease_expires(stuck_worker: subprocess.Popen[bytes]) -> None:
    key = woken()
    assert eventually(lambda: row(key).leased, 60)
    stuck_worker.kill()
    stuck_worker.wait()
    assert claim(KINDS) is None
    expire_leases()
    found = claim(KINDS)
    assert found is not None
    assert (found.key, found.fence, found.attempts) == (key, 2, 2)
    release(found, next_in=None)
    assert not row(key).due


def test_another_worker_on_its_machine_releases_the_lease_at_once(
    stuck_worker: subprocess.Popen[bytes],
) -> None:
    key = woken()
    assert eventually(lambda: row(key).leased, 60)
    stuck_worker.kill()
    # The worker is a zombie until this process waits for it; zombies count as dead.
    assert eventually(lambda: release_dead_leases() == 1)
    found = claim(KINDS)
    assert found is not None
    assert (found.key, found.fence) == (key, 2)


def test_the_lease_of_a_living_process_is_kept() -> None:
    key = woken()
    assert claim(KINDS) is not None
    assert release_dead_leases() == 0
    assert row(key).leased


def test_the_lease_of_another_machine_is_kept() -> None:
    key = woken()
    assert claim(KINDS) is not None
    Work.objects.filter(key=key).update(lease_owner="another-boot/pid:[1]/1/1")
    assert release_dead_leases() == 0
    assert row(key).leased


def test_a_later_process_of_the_same_id_does_not_keep_the_lease() -> None:
    key = woken()
    assert claim(KINDS) is not None
    Work.objects.filter(key=key).update(lease_owner=f"{lease_owner().rpartition('/')[0]}/1")
    assert release_dead_leases() == 1
    assert not row(key).leased
