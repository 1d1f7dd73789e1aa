"""Many clients share one limit over HTTP: it is never exceeded, and no request that fits is refused."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import pytest

from tenants import quota
from tenants.models import Limit
from tests.api.api import ACME
from tests.api.conftest import World
from tests.api.served import served
from tests.cast import set_limits

CLIENTS, ROUNDS = 16, 100
HANDS_AT_MOST = 3
# A launch takes 0.5 CPU for the head and 1 for each hand, 2.5 on average: about half of the launches fit.
LIMIT = CLIENTS * ROUNDS * 2500 // 2


@dataclass(frozen=True)
class Attempt:
    """One launch. wants: millicores."""

    wants: int
    status: int
    reason: str


@pytest.fixture
def address(transactional_db: None, world: World) -> Iterator[str]:
    with served() as found:
        yield found


def launches(address: str, token: str, index: int) -> list[Attempt]:
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
        return [
            _launch(client, f"c-{index}-{round_}", 1 + (index + round_) % HANDS_AT_MOST)
            for round_ in range(ROUNDS)
        ]


def _launch(client: httpx.Client, name: str, hands: int) -> Attempt:
    body = {"name": name, "template": "pair", "groups": {"hand": {"count": hands}}}
    answer = client.post(f"{ACME}/clusters", json=body)
    return Attempt(500 + 1000 * hands, answer.status_code, answer.json().get("reason") or "")


@pytest.mark.timeout(600)
def test_concurrent_launches_use_a_limit_fully_and_never_exceed_it(world: World, address: str) -> None:
    set_limits(world.people.acme, cpu=LIMIT)
    with ThreadPoolExecutor(CLIENTS) as pool:
        found = list(pool.map(lambda index: launches(address, world.bob.token, index), range(CLIENTS)))
    attempts = [attempt for mine in found for attempt in mine]
    admitted = [attempt.wants for attempt in attempts if attempt.status == 201]
    refused = [attempt.wants for attempt in attempts if attempt.reason == "QUOTA_EXCEEDED"]
    held = Limit.objects.get(tenant=world.people.acme, user=None).held_cpu
    print(f"{len(admitted)} admitted, {len(refused)} refused, {held} of {LIMIT} held")
    assert len(admitted) + len(refused) == CLIENTS * ROUNDS
    assert sum(admitted) == held <= LIMIT
    # Nothing was released meanwhile, so each refused launch must still not fit at the end.
    assert refused
    assert all(held + wants > LIMIT for wants in refused)
    assert quota.ledger_differences() == []
