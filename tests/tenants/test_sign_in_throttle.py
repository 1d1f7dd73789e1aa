"""Wrong sign-in attempts cause a delay that grows, ends, and is forgotten with time."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F

from tenants.errors import TooManyAttempts
from tenants.models import SignInThrottle
from tenants.sign_in_throttle import (
    BY_ADDRESS,
    Counter,
    Rate,
    address_counter,
    count_attempt,
    forgive_attempt,
)

STRICT = Rate("test", free=3, longest_delay=900, forgiven_after=1e9)
BOB = Counter(STRICT, "bob")


def wait_over() -> None:
    SignInThrottle.objects.update(blocked_until=F("at"))


def delay() -> float:
    """The delay of the next attempt, in seconds."""
    row = SignInThrottle.objects.get(key=BOB.key)
    return (row.blocked_until - row.at).total_seconds()


@pytest.mark.django_db
def test_the_delay_doubles_up_to_the_longest() -> None:
    delays = []
    for _ in range(18):
        count_attempt(BOB)
        delays.append(delay())
        wait_over()
    assert delays[:6] == [0, 0, 0, 1, 2, 4]
    assert delays[-3:] == [900, 900, 900]


@pytest.mark.django_db
def test_an_attempt_during_the_delay_is_refused_and_does_not_lengthen_it() -> None:
    for _ in range(4):
        count_attempt(BOB)
    before = SignInThrottle.objects.get().level
    for _ in range(5):
        with pytest.raises(TooManyAttempts) as refusal:
            count_attempt(BOB)
    assert refusal.value.extra["retry_after"] == 1
    assert SignInThrottle.objects.get().level == before


@pytest.mark.django_db
def test_a_right_attempt_clears_a_name_and_gives_an_address_one_back() -> None:
    office = Counter(BY_ADDRESS, "192.0.2.1")
    for _ in range(3):
        count_attempt(BOB, office)
    forgive_attempt(BOB, office)
    assert {row.key: round(row.level) for row in SignInThrottle.objects.all()} == {office.key: 2}


@pytest.mark.django_db
def test_the_delay_is_forgotten_with_time() -> None:
    hourly = Counter(Rate("test", free=3, longest_delay=900, forgiven_after=3600), "bob")
    for _ in range(4):
        count_attempt(hourly)
    SignInThrottle.objects.update(at=F("at") - timedelta(hours=10), blocked_until=F("at"))
    count_attempt(hourly)
    assert SignInThrottle.objects.get().level == pytest.approx(1, abs=0.1)


@pytest.mark.django_db
def test_a_refused_attempt_is_counted_nowhere() -> None:
    office = Counter(BY_ADDRESS, "192.0.2.1")
    for _ in range(4):
        count_attempt(BOB)
    with pytest.raises(TooManyAttempts):
        count_attempt(office, BOB)
    assert not SignInThrottle.objects.filter(key=office.key).exists()


@pytest.mark.django_db
def test_rows_of_yesterday_are_removed() -> None:
    count_attempt(BOB)
    SignInThrottle.objects.update(at=F("at") - timedelta(days=2))
    count_attempt(Counter(STRICT, "alice"))
    assert SignInThrottle.objects.count() == 1


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
    assert (address_counter(BY_ADDRESS, one) == address_counter(BY_ADDRESS, other)) is same


@pytest.mark.django_db(transaction=True)
def test_concurrent_attempts_gain_nothing() -> None:
    def attempt(_: int) -> bool:
        try:
            count_attempt(BOB)
        except TooManyAttempts:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(24))) <= STRICT.free + 2
