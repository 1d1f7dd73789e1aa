"""`manage.py observe`: a watch on every site, in a process of its own, any number of them side by side."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controlplane.clusters.models import Site
from controlplane.clusters.services.sites import site_remove
from controlplane.reconciler.site.watches import Watches
from controlplane.standalone.installation.environment import ROOT, python
from controlplane.work.models import Kind, Work
from tests import launchable
from tests.work.installation import environment_of

pytestmark = pytest.mark.django_db(transaction=True)
SECONDS = 60.0


def eventually(condition: Callable[[], bool], seconds: float = SECONDS) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def observers(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    command = python("manage.py", "observe")
    started = [
        subprocess.Popen(command, cwd=ROOT, env=environment_of(tmp_path), stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    yield started
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def watches() -> Iterator[Watches]:
    kept = Watches()
    yield kept
    kept.end()


def threads(watches: Watches) -> dict[object, object]:
    return {key: watch.thread for key, watch in watches._watches.items()}


def heard() -> int:
    """How often the site was woken. Each watch wakes it once when it begins."""
    row = Work.objects.filter(kind=Kind.SITE).first()
    return row.wake_seq if row else 0


def test_several_observers_watch_the_same_sites_until_they_are_stopped(
    observers: list[subprocess.Popen[bytes]],
):
    launchable.a_site()
    assert eventually(lambda: heard() >= 2)
    for process in observers:
        process.send_signal(signal.SIGTERM)
    assert [process.wait(SECONDS) for process in observers] == [0, 0]


def test_an_added_site_is_watched(watches: Watches):
    watches.refresh()
    assert threads(watches) == {}
    site = launchable.a_site()
    watches.refresh()
    assert list(threads(watches)) == [site.id]
    assert eventually(lambda: heard() == 1)


def test_an_unchanged_site_keeps_its_watch(watches: Watches):
    launchable.a_site()
    watches.refresh()
    before = threads(watches)
    watches.refresh()
    assert threads(watches) == before


def test_a_changed_site_gets_a_new_watch(watches: Watches):
    site = launchable.a_site()
    watches.refresh()
    before = threads(watches)
    Site.objects.update(settings={"colour": "red"})
    watches.refresh()
    assert threads(watches)[site.id] is not before[site.id]


def test_a_removed_site_is_watched_no_more(watches: Watches):
    launchable.a_site()
    watches.refresh()
    [thread] = threads(watches).values()
    site_remove(name="fake")
    watches.refresh()
    assert threads(watches) == {}
    assert eventually(lambda: not thread.is_alive())  # type: ignore[attr-defined]


def test_a_site_that_cannot_be_watched_does_not_block_the_others(watches: Watches):
    Site.objects.create(name="broken", kind="kubernetes", settings={"colour": "red"})
    good = launchable.a_site()
    watches.refresh()
    assert list(threads(watches)) == [good.id]


def test_a_site_whose_identity_changed_is_watched_no_more(watches: Watches):
    site = launchable.a_site()
    watches.refresh()
    [thread] = threads(watches).values()
    Site.objects.update(changed=True)
    watches.refresh()
    assert threads(watches) == {}
    assert eventually(lambda: not thread.is_alive())  # type: ignore[attr-defined]
    Site.objects.update(changed=False)
    watches.refresh()
    assert list(threads(watches)) == [site.id]
