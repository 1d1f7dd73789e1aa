"""The loop handles due items at once, retries failed ones later, and idles cheaply."""

import threading
import time
from itertools import pairwise
from uuid import UUID

import psycopg2
import pytest
from django.conf import settings
from django.db import connection, transaction

from controlplane.work import loop as loops
from controlplane.work.announce import CHANNEL
from controlplane.work.claim import Claimed
from controlplane.work.loop import SWEEP_SECONDS, RetryLater, backoff
from controlplane.work.models import Kind
from controlplane.work.wake import wake
from tenants.ids import new_id
from tests.work.table import due_in, eventually, row, running, woken

pytestmark = pytest.mark.django_db(transaction=True, available_apps=["controlplane.work"])
# Much shorter than the sweep: the sweep cannot be the cause.
AT_ONCE = 1.0


class Recorder:
    """A handler that records its claims, and returns `answer` or raises `error`."""

    def __init__(self, answer: float | None = None, error: Exception | None = None) -> None:
        self.handled: list[Claimed] = []
        self.answer, self.error = answer, error

    def __call__(self, claimed: Claimed) -> float | None:
        self.handled.append(claimed)
        if self.error:
            raise self.error
        return self.answer

    @property
    def keys(self) -> list[UUID]:
        return [claimed.key for claimed in self.handled]


def is_idle() -> bool:
    """Whether the loop has claimed everything and sleeps, judged by its connections in the database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle'"
            " AND pid <> pg_backend_pid() AND query LIKE %s",
            ["%RECURSIVE tenant%"],
        )
        return bool(cursor.fetchone()[0])


def test_a_due_row_is_handled_and_settles() -> None:
    key, handler = woken(), Recorder()
    with running(handler):
        assert eventually(lambda: handler.handled and not row(key).leased)
    assert (handler.keys, due_in(key)) == ([key], None)


def test_a_wake_from_elsewhere_reaches_a_sleeping_loop_at_once() -> None:
    handler = Recorder()
    with running(handler):
        assert eventually(is_idle)
        began = time.monotonic()
        woken()
        assert eventually(lambda: handler.handled)
        assert time.monotonic() - began < AT_ONCE < SWEEP_SECONDS


def test_a_wake_from_another_process_reaches_a_sleeping_loop() -> None:
    key, handler = new_id(), Recorder()
    database = settings.DATABASES["default"]
    other = psycopg2.connect(
        dbname=database["NAME"], user=database["USER"], host=database["HOST"],
        password=database["PASSWORD"], port=database["PORT"] or None,
    )  # fmt: skip
    try:
        with running(handler):
            assert eventually(is_idle)
            with other, other.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO work_work (kind, key, due_at, fence, attempts, wake_seq)"
                    " VALUES ('cluster', %s, clock_timestamp(), 0, 0, 1)",
                    [str(key)],
                )
                cursor.execute(f"NOTIFY {CHANNEL}")
            assert eventually(lambda: handler.keys == [key], AT_ONCE)
    finally:
        other.close()


def test_a_wake_without_any_signal_is_found_by_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "SWEEP_SECONDS", 0.2)
    handler = Recorder()
    with running(handler):
        assert eventually(is_idle)
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO work_work (kind, key, due_at, fence, attempts, wake_seq)"
                " VALUES ('cluster', %s, clock_timestamp(), 0, 0, 1)",
                [new_id()],
            )
        assert eventually(lambda: handler.handled)


def test_a_row_due_later_is_handled_when_due_and_not_at_the_next_sweep() -> None:
    handler = Recorder()
    with running(handler):
        began = time.monotonic()
        wake(Kind.CLUSTER, new_id(), after=0.3)
        assert eventually(lambda: handler.handled)
        assert 0.3 <= time.monotonic() - began < 0.3 + AT_ONCE


def test_a_wake_during_a_pass_causes_another_pass_at_once() -> None:
    key = woken()
    handled: list[int] = []

    def handler(claimed: Claimed) -> None:
        handled.append(claimed.wake_seq)
        if len(handled) == 1:
            wake(Kind.CLUSTER, key)

    with running(handler):
        assert eventually(lambda: len(handled) == 2, AT_ONCE)
        assert eventually(lambda: due_in(key) is None)


def test_a_failing_pass_is_retried_with_growing_pauses() -> None:
    key, handler = woken(), Recorder(error=RuntimeError("broken"))
    with running(handler):
        assert eventually(lambda: handler.handled and not row(key).leased)
    assert row(key).attempts == 1
    assert due_in(key) == pytest.approx(backoff(1), abs=0.5)


def test_the_pause_doubles_up_to_a_minute() -> None:
    assert [backoff(attempts) for attempts in (1, 2, 3, 6, 7, 50)] == [1, 2, 4, 32, 60, 60]


def test_a_postponed_row_is_due_at_its_time() -> None:
    key, handler = woken(), Recorder(error=RetryLater(40))
    with running(handler):
        assert eventually(lambda: handler.handled and not row(key).leased)
    assert due_in(key) == pytest.approx(40, abs=2)


def test_a_failing_row_does_not_delay_the_others() -> None:
    def handler(claimed: Claimed) -> None:
        if claimed.key == bad:
            raise RuntimeError("broken")
        good.append(claimed.key)

    good: list[UUID] = []
    bad = woken()
    with running(handler, threads=1):
        keys = [woken() for _ in range(5)]
        assert eventually(lambda: sorted(good) == sorted(keys))


def test_no_more_at_once_than_there_are_threads() -> None:
    gate, at_once, most = threading.Semaphore(0), [0], [0]
    lock = threading.Lock()

    def handler(claimed: Claimed) -> None:
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        gate.acquire(timeout=10)
        with lock:
            at_once[0] -= 1

    keys = [woken() for _ in range(6)]
    with running(handler, threads=2):
        assert eventually(lambda: at_once[0] == 2)
        gate.release(len(keys))
        assert eventually(lambda: not any(row(key).leased or row(key).due for key in keys))
    assert most[0] == 2


def test_stopping_waits_for_the_passes_under_way() -> None:
    started, ended = threading.Event(), threading.Event()
    go_on = threading.Event()

    def handler(claimed: Claimed) -> None:
        started.set()
        go_on.wait(10)
        ended.set()

    key = woken()
    with running(handler) as loop:
        assert started.wait(10)
        loop.stop()
        go_on.set()
    assert ended.is_set()
    assert not row(key).leased


def test_an_idle_loop_makes_one_query_per_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "SWEEP_SECONDS", 0.1)
    queries: list[str] = []
    sweeps: list[int] = []

    def count() -> None:
        sweeps.append(len(queries))
        if not connection.execute_wrappers:
            connection.execute_wrappers.append(note)

    def note(execute, sql, params, many, context):
        queries.append(sql)
        return execute(sql, params, many, context)

    with running(Recorder(), on_sweep=count):
        assert eventually(lambda: len(sweeps) > 6)
    steady = [after - before for before, after in pairwise(sweeps[2:])]
    assert set(steady) == {1}


def test_locked_work_does_not_make_the_loop_spin() -> None:
    turns: list[float] = []
    key, handler = woken(), Recorder()
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM work_work WHERE key = %s FOR UPDATE", [key])
        with running(handler, on_sweep=lambda: turns.append(time.monotonic())):
            assert eventually(lambda: len(turns) > 10)
            pauses = [after - before for before, after in pairwise(turns[2:])]
            assert min(pauses) >= loops.LOCKED_SECONDS * 0.9
    assert not handler.handled
