"""Wrong attempts: a delay that grows, ends, and is forgiven with time."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F

from tenants import attempts
from tenants.attempts import ADDRESS, Budget, Counted, of_address, take
from tenants.errors import TooManyAttempts
from tenants.models import Attempt

STRICT = Budget("test", free=3, longest=900, forgives=1e9)
BOB = Counted(STRICT, "bob")


def wait_over() -> None:
    Attempt.objects.update(blocked_until=F("at"))


def delay() -> float:
    """Of the next attempt, in seconds."""
    row = Attempt.objects.get(key=BOB.key)
    return (row.blocked_until - row.at).total_seconds()


@pytest.mark.django_db
def test_the_delay_doubles_up_to_the_longest() -> None:
    delays = []
    for _ in range(18):
        take(BOB)
        delays.append(delay())
        wait_over()
    assert delays[:6] == [0, 0, 0, 1, 2, 4]
    assert delays[-3:] == [900, 900, 900]


@pytest.mark.django_db
def test_an_attempt_during_the_delay_is_refused_and_does_not_lengthen_it() -> None:
    for _ in range(4):
        take(BOB)
    before = Attempt.objects.get().level
    for _ in range(5):
        with pytest.raises(TooManyAttempts) as refusal:
            take(BOB)
    assert refusal.value.extra["retry_after"] == 1
    assert Attempt.objects.get().level == before


@pytest.mark.django_db
def test_a_right_attempt_clears_a_name_and_gives_an_address_one_back() -> None:
    office = Counted(ADDRESS, "192.0.2.1")
    for _ in range(3):
        take(BOB, office)
    attempts.right(BOB, office)
    assert {row.key: round(row.level) for row in Attempt.objects.all()} == {office.key: 2}


@pytest.mark.django_db
def test_time_forgives() -> None:
    hourly = Counted(Budget("test", free=3, longest=900, forgives=3600), "bob")
    for _ in range(4):
        take(hourly)
    Attempt.objects.update(at=F("at") - timedelta(hours=10), blocked_until=F("at"))
    take(hourly)
    assert Attempt.objects.get().level == pytest.approx(1, abs=0.1)


@pytest.mark.django_db
def test_what_one_budget_refuses_is_counted_in_none() -> None:
    office = Counted(ADDRESS, "192.0.2.1")
    for _ in range(4):
        take(BOB)
    with pytest.raises(TooManyAttempts):
        take(office, BOB)
    assert not Attempt.objects.filter(key=office.key).exists()


@pytest.mark.django_db
def test_rows_of_yesterday_are_removed() -> None:
    take(BOB)
    Attempt.objects.update(at=F("at") - timedelta(days=2))
    take(Counted(STRICT, "alice"))
    assert Attempt.objects.count() == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "unix:", False),
    ],
)
def test_a_network_of_ipv6_is_one_address(one: str, other: str, same: bool) -> None:
    assert (of_address(ADDRESS, one) == of_address(ADDRESS, other)) is same


@pytest.mark.django_db(transaction=True)
def test_many_at_once_gain_nothing() -> None:
    def attempt(_: int) -> bool:
        try:
            take(BOB)
        except TooManyAttempts:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(24))) <= STRICT.free + 2
