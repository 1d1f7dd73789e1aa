"""How often somebody may be wrong: a delay that grows with each wrong password or token, kept in PostgreSQL.

An attempt is counted before it is made and taken back when it was right, so that many at once gain nothing.
During the delay attempts are refused without a look at the secret, and count for nothing.
"""

from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from math import ceil, log2
from typing import Final

from django.db import connection, transaction

from tenants.errors import TooManyAttempts


@dataclass(frozen=True, slots=True)
class Budget:
    """free: wrong attempts without a delay. The next wait 1, 2, 4 … seconds, at most `longest`. forgives: seconds
    after which one wrong attempt is forgotten.
    """

    kind: str
    free: int
    longest: int
    forgives: float

    @property
    def top(self) -> int:
        """The level at which the delay is the longest; it never gets higher."""
        return self.free + ceil(log2(self.longest)) + 1


# A name is the same budget from whatever address. It holds up whoever guesses, and the owner only where no browser
# of theirs signed in before: such a browser has a budget of its own.
NAME: Final = Budget("name", free=5, longest=900, forgives=3600)
DEVICE: Final = Budget("device", free=5, longest=900, forgives=3600)
# Many people may share an address, behind a proxy or a gateway.
ADDRESS: Final = Budget("address", free=100, longest=60, forgives=3)
# Entering one's own password again, of one user.
AGAIN: Final = Budget("again", free=5, longest=900, forgives=3600)
# Wrong tokens from an address; a good one is never held up.
TOKEN: Final = Budget("token", free=30, longest=30, forgives=2)

_TAKE: Final = """
INSERT INTO tenants_attempt AS a (key, level, at, blocked_until)
VALUES (%(key)s, 1, statement_timestamp(), statement_timestamp())
ON CONFLICT (key) DO UPDATE SET (level, at, blocked_until) = (
  SELECT n.level, statement_timestamp(), statement_timestamp() + CASE WHEN n.level > %(free)s
         THEN LEAST(%(longest)s, power(2, n.level - %(free)s - 1)) ELSE 0 END * interval '1 second'
    FROM (SELECT LEAST(%(top)s, 1 + GREATEST(0, a.level
                 - extract(epoch FROM statement_timestamp() - a.at) / %(forgives)s)) AS level) n)
 WHERE a.blocked_until <= statement_timestamp()
RETURNING level
"""
_LEFT: Final = """
SELECT ceil(extract(epoch FROM blocked_until - statement_timestamp()))::int FROM tenants_attempt WHERE key = %s
"""
_PURGE: Final = """
DELETE FROM tenants_attempt WHERE key IN (
  SELECT key FROM tenants_attempt WHERE at < statement_timestamp() - interval '1 day' LIMIT 100)
"""


@dataclass(frozen=True, slots=True)
class Counted:
    """One budget of one name, device or address."""

    budget: Budget
    of: str

    @property
    def key(self) -> str:
        return sha256(f"{self.budget.kind} {self.of}".encode("utf-8", "replace")).hexdigest()


def of_address(budget: Budget, address: str) -> Counted:
    """An IPv6 address counts as its network of 64 bits, of which a host has all addresses to choose from."""
    try:
        found = ip_address(address)
    except ValueError:
        return Counted(budget, address)
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return Counted(budget, str(IPv6Address(int(found) >> 64 << 64)))
    return Counted(budget, str(getattr(found, "ipv4_mapped", None) or found))


def take(*counted: Counted) -> None:
    """Counts one wrong attempt in each, or in none and raises TooManyAttempts."""
    with transaction.atomic():
        for one in counted:
            _take(one)


def right(*counted: Counted) -> None:
    """The attempt was right: clears what belongs to one user, and gives an address its attempt back."""
    with connection.cursor() as cursor:
        for one in counted:
            if one.budget in (ADDRESS, TOKEN):
                cursor.execute(
                    "UPDATE tenants_attempt SET level = GREATEST(0, level - 1) WHERE key = %s", [one.key]
                )
            else:
                cursor.execute("DELETE FROM tenants_attempt WHERE key = %s", [one.key])


def _take(one: Counted) -> None:
    budget = one.budget
    limits = {
        "free": budget.free,
        "longest": budget.longest,
        "top": budget.top,
        "forgives": budget.forgives,
    }
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, {"key": one.key, **limits})
        row = cursor.fetchone()
        if row is None:
            cursor.execute(_LEFT, [one.key])
            left = cursor.fetchone()
            raise TooManyAttempts(max(1, left[0] if left else 1))
        if row[0] == 1:
            cursor.execute(_PURGE)
