"""Leases: one worker for each row, fair between tenants, fenced, and free again after a worker's death."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction

from controlplane.work.claim import (
    Claimed,
    LostLease,
    claim,
    claim_or_wait,
    claim_parameters,
    prolong,
    release,
    require,
)
from controlplane.work.models import Kind
from controlplane.work.queries import CLAIM
from controlplane.work.timing import LEASE_SECONDS, MARGIN_SECONDS
from controlplane.work.wake import forget, wake
from tenants.ids import new_id
from tests.work.table import KINDS, claimed_keys, due_in, expire_leases, on_own_connection, row, woken

pytestmark = pytest.mark.django_db(transaction=True, available_apps=["controlplane.work"])
THREADS, ROWS = 8, 120


def a_claim() -> Claimed:
    found = claim(KINDS)
    assert found is not None
    return found


def test_concurrent_claims_return_each_row_once() -> None:
    keys = {woken() for _ in range(ROWS)}

    def take(number: int) -> list[UUID]:
        try:
            return claimed_keys()
        finally:
            connection.close()

    with ThreadPoolExecutor(THREADS) as pool:
        taken = Counter(key for keys in pool.map(take, range(THREADS)) for key in keys)
    assert taken == Counter(keys)


def test_a_row_locked_by_another_transaction_is_skipped() -> None:
    first, second = woken(), woken()
    with transaction.atomic():
        wake(Kind.CLUSTER, first)
        taken: list[UUID] = []
        on_own_connection(lambda: taken.extend(claimed_keys())).join(10)
    assert taken == [second]


def test_a_lease_is_prolonged_for_one_long_call() -> None:
    key = woken()
    prolong(a_claim(), 10 * LEASE_SECONDS)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM lease_until - clock_timestamp()) FROM work_work WHERE key = %s", [key]
        )
        assert cursor.fetchone()[0] > 9 * LEASE_SECONDS


def test_a_lost_lease_is_not_prolonged() -> None:
    woken()
    found = a_claim()
    expire_leases()
    with pytest.raises(LostLease):
        prolong(found, 60)


def test_leased_rows_and_rows_not_due_are_not_claimed() -> None:
    woken()
    wake(Kind.CLUSTER, new_id(), after=60)
    assert len(claimed_keys()) == 1


def test_only_the_requested_kinds_are_claimed() -> None:
    wake(Kind.SITE, new_id())
    assert claim(KINDS) is None
    assert claim([Kind.SITE]) is not None


def test_the_tenant_with_least_in_flight_comes_first() -> None:
    busy, idle = new_id(), new_id()
    of_busy = [woken(busy) for _ in range(4)]
    of_idle = [woken(idle) for _ in range(2)]
    assert claimed_keys() == [of_busy[0], of_idle[0], of_busy[1], of_idle[1], *of_busy[2:]]


def test_the_backlog_of_one_tenant_does_not_delay_another() -> None:
    pile, other = new_id(), new_id()
    for _ in range(50):
        woken(pile)
    a_claim()
    key = woken(other)
    assert a_claim().key == key


def test_an_expired_lease_is_claimed_again_with_a_new_fence() -> None:
    woken()
    first = a_claim()
    assert claim(KINDS) is None
    expire_leases()
    assert a_claim().fence == first.fence + 1


def test_every_claim_counts_as_an_attempt_until_one_succeeds() -> None:
    key = woken()
    for attempt in (1, 2, 3):
        found = a_claim()
        assert found.attempts == attempt
        release(found, next_in=0, failed=True)
    release(a_claim(), next_in=0)
    assert row(key).attempts == 0


def test_a_wake_resets_the_failed_attempts() -> None:
    key = woken()
    release(a_claim(), next_in=60, failed=True)
    wake(Kind.CLUSTER, key)
    assert a_claim().attempts == 1


def test_the_lease_owner_may_record() -> None:
    woken()
    found = a_claim()
    with transaction.atomic():
        require(found)


def test_a_worker_that_lost_its_lease_may_not_record() -> None:
    woken()
    paused = a_claim()
    expire_leases()
    a_claim()
    with pytest.raises(LostLease), transaction.atomic():
        require(paused)


def test_a_worker_whose_lease_nearly_expires_may_not_record() -> None:
    woken()
    late = a_claim()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE work_work SET lease_until = lease_until - %s * interval '1 second'",
            [LEASE_SECONDS - MARGIN_SECONDS],
        )
    with pytest.raises(LostLease), transaction.atomic():
        require(late)


def test_no_worker_claims_a_row_while_its_lease_owner_records() -> None:
    woken()
    found = a_claim()
    with transaction.atomic():
        require(found)
        taken: list[UUID] = []
        on_own_connection(expire_leases).join(10)
        on_own_connection(lambda: taken.extend(claimed_keys())).join(10)
        assert not taken
    assert claim(KINDS) is not None


def test_a_late_release_does_not_change_another_lease() -> None:
    key = woken()
    paused = a_claim()
    expire_leases()
    current = a_claim()
    release(paused, next_in=None)
    assert row(key).leased
    assert row(key).fence == current.fence


def test_a_released_row_is_due_when_its_pass_says() -> None:
    key = woken()
    release(a_claim(), next_in=60)
    assert due_in(key) == pytest.approx(60, abs=5)
    wake(Kind.CLUSTER, key)
    release(a_claim(), next_in=None)
    assert due_in(key) is None


def test_a_release_does_not_restore_a_deleted_row() -> None:
    key = woken()
    found = a_claim()
    forget(Kind.CLUSTER, key)
    release(found, next_in=0)
    assert claim(KINDS) is None


def test_late_is_the_time_since_the_row_was_due() -> None:
    key = woken()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE work_work SET due_at = due_at - interval '90 seconds' WHERE key = %s", [key])
    assert a_claim().late == pytest.approx(90, abs=5)


@pytest.mark.parametrize(("after", "expected"), [(2, 2), (600, 5)])
def test_the_next_claim_is_when_a_row_is_due_and_at_the_latest_at_the_sweep(
    after: float, expected: float
) -> None:
    wake(Kind.CLUSTER, new_id(), after=after)
    assert claim_or_wait(KINDS, at_most=5) == pytest.approx(expected, abs=0.5)


def test_the_next_claim_is_due_when_a_lease_expires() -> None:
    woken()
    a_claim()
    assert claim_or_wait(KINDS, at_most=600) == pytest.approx(LEASE_SECONDS, abs=2)


@pytest.mark.parametrize("tenants", [1, 300])
def test_a_claim_reads_an_index_however_many_rows_wait(tenants: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO work_work (kind, key, tenant_id, due_at, fence, attempts, wake_seq)"
            " SELECT 'cluster', gen_random_uuid(), md5((i %% %s)::text)::uuid,"
            " clock_timestamp() - i * interval '1 ms', 0, 0, 1 FROM generate_series(1, 20000) i",
            [tenants],
        )
        cursor.execute("VACUUM ANALYZE work_work")
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + CLAIM, claim_parameters(KINDS))
        [[plan]] = cursor.fetchone()
    scans = [
        node for node in nodes_of(plan["Plan"]) if node["Actual Loops"] and "Seq Scan" in node["Node Type"]
    ]
    assert scans == []


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes_of(child)
