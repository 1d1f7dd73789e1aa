"""Slows down guessing: a delay that grows with each wrong password or token, counted in PostgreSQL.

An attempt is counted before the secret is checked and is taken back when the secret was right, so parallel attempts
gain nothing. During the delay attempts are refused without checking the secret, and they do not count.
"""

from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from math import ceil, log2
from typing import Final

from django.db import connection, transaction

from tenants.errors import TooManyAttempts


@dataclass(frozen=True, slots=True)
class Rate:
    """How many wrong attempts of one kind are allowed.

    free: wrong attempts without a delay. The following ones wait 1, 2, 4 … seconds, at most `longest_delay`.
    forgiven_after: the seconds after which one wrong attempt is forgotten.
    """

    kind: str
    free: int
    longest_delay: int
    forgiven_after: float

    @property
    def top(self) -> int:
        """The level at which the delay is longest; the level never gets higher."""
        return self.free + ceil(log2(self.longest_delay)) + 1


# Attempts on one user name, from any address. They also delay the owner of the name, except in a browser in which the
# owner has signed in before: that browser has a rate of its own.
BY_NAME: Final = Rate("name", free=5, longest_delay=900, forgiven_after=3600)
BY_DEVICE: Final = Rate("device", free=5, longest_delay=900, forgiven_after=3600)
# Many people may share one address, behind a proxy or a gateway.
BY_ADDRESS: Final = Rate("address", free=100, longest_delay=60, forgiven_after=3)
# A signed-in user who enters their own password again.
CONFIRMATION: Final = Rate("again", free=5, longest_delay=900, forgiven_after=3600)
# Wrong tokens from one address. Good tokens are never delayed.
TOKENS_BY_ADDRESS: Final = Rate("token", free=30, longest_delay=30, forgiven_after=2)

# Hand-written, because one atomic statement must count the attempt and refuse it: two would let parallel attempts pass.
_COUNT: Final = """
INSERT INTO tenants_signinthrottle AS t (key, level, at, blocked_until)
VALUES (%(key)s, 1, statement_timestamp(), statement_timestamp())
ON CONFLICT (key) DO UPDATE SET (level, at, blocked_until) = (
  SELECT n.level, statement_timestamp(), statement_timestamp() + CASE WHEN n.level > %(free)s
         THEN LEAST(%(longest_delay)s, power(2, n.level - %(free)s - 1)) ELSE 0 END * interval '1 second'
    FROM (SELECT LEAST(%(top)s, 1 + GREATEST(0, t.level
                 - extract(epoch FROM statement_timestamp() - t.at) / %(forgiven_after)s)) AS level) n)
 WHERE t.blocked_until <= statement_timestamp()
RETURNING level
"""
_SECONDS_LEFT: Final = """
SELECT ceil(extract(epoch FROM blocked_until - statement_timestamp()))::int FROM tenants_signinthrottle WHERE key = %s
"""
_PURGE: Final = """
DELETE FROM tenants_signinthrottle WHERE key IN (
  SELECT key FROM tenants_signinthrottle WHERE at < statement_timestamp() - interval '1 day' LIMIT 100)
"""


@dataclass(frozen=True, slots=True)
class Counter:
    """The wrong attempts at one rate of one `subject`: a user name, a device or an address."""

    rate: Rate
    subject: str

    @property
    def key(self) -> str:
        """The primary key of its row: a digest, so that the table holds no names and no addresses."""
        return sha256(f"{self.rate.kind} {self.subject}".encode("utf-8", "replace")).hexdigest()


def address_counter(rate: Rate, address: str) -> Counter:
    """The counter of an address. IPv6 addresses of one /64 network share it, because one host can use all of them."""
    try:
        found = ip_address(address)
    except ValueError:
        return Counter(rate, address)
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return Counter(rate, str(IPv6Address(int(found) >> 64 << 64)))
    return Counter(rate, str(getattr(found, "ipv4_mapped", None) or found))


def count_attempt(*counters: Counter) -> None:
    """Counts one wrong attempt in each counter. Raises TooManyAttempts, and then counts in none of them."""
    with transaction.atomic(), connection.cursor() as cursor:
        for counter in counters:
            rate = counter.rate
            limits = {"free": rate.free, "longest_delay": rate.longest_delay, "top": rate.top}
            cursor.execute(_COUNT, {"key": counter.key, "forgiven_after": rate.forgiven_after, **limits})
            row = cursor.fetchone()
            if row is None:
                cursor.execute(_SECONDS_LEFT, [counter.key])
                left = cursor.fetchone()
                raise TooManyAttempts(max(1, left[0] if left else 1))
            if row[0] == 1:
                cursor.execute(_PURGE)


def forgive_attempt(*counters: Counter) -> None:
    """The secret was right: clears the counters of one user, and takes one attempt back from those of an address."""
    with connection.cursor() as cursor:
        for counter in counters:
            if counter.rate in (BY_ADDRESS, TOKENS_BY_ADDRESS):
                cursor.execute(
                    "UPDATE tenants_signinthrottle SET level = GREATEST(0, level - 1) WHERE key = %s",
                    [counter.key],
                )
            else:
                cursor.execute("DELETE FROM tenants_signinthrottle WHERE key = %s", [counter.key])
