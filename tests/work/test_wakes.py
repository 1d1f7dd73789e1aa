"""A wake during a pass is never erased by the release of that pass."""

import random
import threading
from uuid import UUID

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from controlplane.work.claim import Claimed, LostLease, claim, release, require
from controlplane.work.models import Kind
from controlplane.work.wake import wake
from tenants.ids import new_id
from tests.work import table
from tests.work.table import KINDS, eventually, expire_leases, on_own_connection, row, woken

pytestmark = pytest.mark.django_db(transaction=True, available_apps=["controlplane.work"])
FAR = 3600.0


class OneRow(RuleBasedStateMachine):
    """Compares random orders of wakes, claims, releases, crashes and stale workers with a small model."""

    passes = Bundle("passes")

    def __init__(self) -> None:
        super().__init__()
        table.clear()
        self.key = new_id()
        self.exists = False
        # unseen: a wake after which no pass has begun. woken: any wake since the last claim, even one for a later
        # time or after the lease has expired.
        self.unseen = self.woken = False
        self.due = False
        self.fence = 0
        self.leased = False

    @rule()
    def wake(self) -> None:
        wake(Kind.CLUSTER, self.key)
        self.exists = self.unseen = self.woken = self.due = True

    @rule()
    def wake_later(self) -> None:
        wake(Kind.CLUSTER, self.key, after=FAR)
        self.unseen |= self.leased
        self.exists = self.woken = True

    @rule(target=passes)
    def claim(self) -> object:
        found = claim(KINDS)
        assert (found is not None) == (self.due and not self.leased)
        if found is None:
            return multiple()
        self.fence, self.leased, self.unseen, self.woken = self.fence + 1, True, False, False
        assert found.fence == self.fence
        return found

    @rule()
    def lease_runs_out(self) -> None:
        expire_leases()
        self.leased = False

    @rule(found=consumes(passes), next_in=st.sampled_from([None, 0.0, FAR]), failed=st.booleans())
    def release(self, found: Claimed, next_in: float | None, failed: bool) -> None:
        release(found, next_in=next_in, failed=failed)
        if found.fence == self.fence:
            self.leased, self.due = False, self.woken or next_in == 0

    @rule(found=consumes(passes))
    def crash(self, found: Claimed) -> None:
        """The worker dies without a release."""

    @rule(found=passes)
    def record(self, found: Claimed) -> None:
        allowed = self.leased and found.fence == self.fence
        try:
            with transaction.atomic():
                require(found)
        except LostLease:
            assert not allowed
        else:
            assert allowed

    @invariant()
    def the_row_matches_the_model(self) -> None:
        if self.exists:
            found = row(self.key)
            assert (found.due, found.leased, found.fence) == (self.due, self.leased, self.fence)

    @invariant()
    def unseen_wakes_keep_the_row_due(self) -> None:
        if self.unseen:
            assert row(self.key).due


def test_no_order_of_events_loses_a_wake() -> None:
    run_state_machine_as_test(
        OneRow,
        settings=settings(
            max_examples=60,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )


def test_a_release_waits_for_a_wake_that_is_about_to_commit() -> None:
    key = woken()
    found = claim(KINDS)
    assert found is not None
    with transaction.atomic():
        wake(Kind.CLUSTER, key)
        thread = on_own_connection(lambda: release(found, next_in=None))
        assert eventually(_a_transaction_waits_for_us)
    thread.join(10)
    assert row(key).due


def test_a_wake_waits_for_a_release_that_is_about_to_commit() -> None:
    key = woken()
    found = claim(KINDS)
    assert found is not None
    with transaction.atomic():
        release(found, next_in=None)
        thread = on_own_connection(lambda: wake(Kind.CLUSTER, key))
        assert eventually(_a_transaction_waits_for_us)
    thread.join(10)
    assert row(key).due


def test_a_rolled_back_wake_wakes_no_worker() -> None:
    key = new_id()
    with transaction.atomic():
        wake(Kind.CLUSTER, key)
        transaction.set_rollback(True)
    assert claim(KINDS) is None


def test_a_later_wake_does_not_delay_an_earlier_one() -> None:
    key = woken()
    wake(Kind.CLUSTER, key, after=FAR)
    assert row(key).due


def test_under_load_the_last_number_is_always_read() -> None:
    """Some threads publish numbers and wake; others read the number in a pass and release."""
    keys = [new_id() for _ in range(3)]
    published: dict[UUID, int] = dict.fromkeys(keys, 0)
    handled: dict[UUID, int] = dict.fromkeys(keys, 0)
    lock, done = threading.Lock(), threading.Event()

    def publish(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311
        for _ in range(60):
            key = chance.choice(keys)
            with lock:
                published[key] += 1
            wake(Kind.CLUSTER, key)

    def work() -> None:
        while not done.is_set():
            if found := claim(KINDS):
                with lock:
                    handled[found.key] = published[found.key]
                release(found, next_in=None)

    workers = [on_own_connection(work) for _ in range(3)]
    publishers = [on_own_connection(lambda seed=seed: publish(seed)) for seed in range(4)]  # type: ignore[misc]
    for publisher in publishers:
        publisher.join(60)
    rested = eventually(lambda: not any(row(key).due or row(key).leased for key in keys))
    done.set()
    for worker in workers:
        worker.join(10)
    assert rested
    assert handled == published


def _a_transaction_waits_for_us() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        )
        return bool(cursor.fetchone()[0])
