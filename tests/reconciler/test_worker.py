"""The chores of the worker run beside claims, are bounded, and do not block one another."""

import threading
from datetime import timedelta

import pytest
from django.db.models import F

from controlplane.clusters.models import Event
from controlplane.reconciler.cluster import node_logs as logs
from controlplane.reconciler.worker import Chore, Chores, Worker
from controlplane.work.models import Work
from tests.reconciler.conftest import World
from tests.work.table import eventually, on_own_connection, woken


@pytest.fixture
def an_event(world: World) -> Event:
    return Event.objects.create(cluster=world.launch(), kind="NODE_READY")


def age(**by: float) -> None:
    Event.objects.update(at=F("at") - timedelta(**by))


def test_events_are_kept_for_their_time(an_event: Event) -> None:
    age(days=89)
    logs.purge()
    assert Event.objects.filter(pk=an_event.pk).exists()
    age(days=2)
    logs.purge()
    assert not Event.objects.exists()


def test_a_purge_is_bounded_and_reports_whether_more_is_left(
    an_event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "EVENTS_PURGED_AT_ONCE", 1)
    Event.objects.create(cluster=an_event.cluster, kind="NODE_ENDED")
    before = Event.objects.count()
    age(days=91)
    assert logs.purge()
    assert Event.objects.count() == before - 1


def test_a_chore_with_more_to_do_is_due_at_once() -> None:
    answers = iter([True, False])
    chore = Chore("count", 3600.0, lambda: next(answers))
    chore.run()
    assert chore.last == float("-inf")
    chore.run()
    assert chore.last > float("-inf")


def test_a_chore_that_fails_does_not_stop_the_others() -> None:
    def fail() -> None:
        raise RuntimeError("broken")

    done = threading.Event()
    chores = Chores([Chore("fail", 0.0, fail), Chore("work", 0.0, done.set)])
    chores.start()
    try:
        assert done.wait(10)
        done.clear()
        chores.sweep()
        assert done.wait(10)
    finally:
        chores.stop()


@pytest.mark.django_db(
    transaction=True, available_apps=["controlplane.work", "controlplane.clusters", "tenants"]
)
def test_work_is_claimed_while_a_chore_takes_long() -> None:
    started, release = threading.Event(), threading.Event()

    def hang() -> None:
        started.set()
        # Longer than the test waits: if claims waited for chores, the test would fail.
        release.wait(60)

    worker = Worker(threads=1, observe=False, chores=[Chore("hang", 3600.0, hang)])
    thread = on_own_connection(worker.run)
    try:
        assert started.wait(10)
        key = woken()
        # Work for a cluster that does not exist is forgotten once it was claimed.
        assert eventually(lambda: not Work.objects.filter(key=key, fence=0).exists())
    finally:
        release.set()
        worker.stop()
        thread.join(10)
