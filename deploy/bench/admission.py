"""How many launches a second the quota of one busy tenant decides, over HTTP, without exceeding the limit.

Clients request clusters of one tenant whose limit allows half of them. Every answer is a decision under the lock of
the same row. The floor is the SQL statement of a claim in a loop on as many connections, in the same run.
"""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import load
import psycopg2
from service import ServiceUnderTest, service
from stats import cpu_seconds, family, milliseconds

from tenants.ids import new_id
from tenants.quota.sql import CHANGE_CLAIM

CLIENTS = 8
REQUESTS = 150
FITS = CLIENTS * REQUESTS // 2
TENANT = "/api/v1/tenants/demo"
GOAL = 600


def measure() -> dict[str, Any]:
    with service() as running:
        _set_limit(running, 10_000)
        warm = load.run(running.port, lambda number: _requests(running, f"w{number}", 15), CLIENTS)
        _set_limit(running, FITS + warm.statuses[201])
        processes = family(running.pids["web"]), family(running.pids["postgres"])
        before = [cpu_seconds(pids) for pids in processes]
        tally = load.run(running.port, lambda number: _requests(running, f"c{number}", REQUESTS), CLIENTS)
        cpu = [
            cpu_seconds(family(pid)) - start for pid, start in zip(running.pids.values(), before, strict=True)
        ]
        over = _oversubscribed(running)
        floor = _floor(running)
    total = sum(tally.statuses.values())
    rate = total / tally.elapsed
    return {
        "what": "decisions a second over HTTP on one hot tenant",
        "value": round(rate),
        "goal": f">= {GOAL}",
        "kept": rate >= GOAL and over == 0,
        "floor": {"what": "the statement of a claim alone, on as many connections", "value": round(floor)},
        "admitted": tally.statuses.get(201, 0),
        "refused": tally.statuses.get(409, 0),
        "other": total - tally.statuses.get(201, 0) - tally.statuses.get(409, 0),
        "oversubscribed": over,
        "clients": CLIENTS,
        "milliseconds": milliseconds(tally.seconds),
        "cpu_ms_each": {
            "web": round(1000 * cpu[0] / total, 2),
            "postgres": round(1000 * cpu[1] / total, 2),
        },
    }


def _set_limit(running: ServiceUnderTest, clusters: int) -> None:
    running.call("PUT", f"{TENANT}/limits", {"cpu": None, "memory": None, "clusters": clusters})


def _requests(running: ServiceUnderTest, prefix: str, count: int) -> Iterator[bytes]:
    for number in range(count):
        body = json.dumps({"name": f"{prefix}-{number}", "template": "spark", "site": "fake"}).encode()
        yield load.request("POST", f"{TENANT}/clusters", running.token, body)


def _oversubscribed(running: ServiceUnderTest) -> int:
    """Returns by how many clusters the held amount exceeds the limit, or differs from the sum of claims."""
    with psycopg2.connect(running.database_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT l.held_clusters - l.limit_clusters, l.held_clusters - (SELECT sum(clusters) FROM tenants_claim c"
            " WHERE c.tenant_id = l.tenant_id) FROM tenants_limit l JOIN tenants_tenant t ON t.id = l.tenant_id"
            " WHERE t.name = 'demo' AND l.user_id IS NULL"
        )
        over, difference = cursor.fetchone()
    return int(max(0, over) + abs(difference))


def _floor(running: ServiceUnderTest) -> float:
    with psycopg2.connect(running.database_url) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE tenants_limit SET limit_clusters = NULL")
        cursor.execute("SELECT tenant_id, user_id FROM tenants_limit WHERE user_id IS NOT NULL LIMIT 1")
        tenant, user = cursor.fetchone()
    amounts = [2500, 2**30, 0, 0, 1]
    connections = [psycopg2.connect(running.database_url) for _ in range(CLIENTS)]

    def client(connection: Any) -> None:
        for _ in range(REQUESTS):
            with connection, connection.cursor() as cursor:
                owner, holding = str(new_id()), str(new_id())
                cursor.execute(CHANGE_CLAIM, [owner, tenant, user, "floor", "fake", holding, amounts])

    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(client, connections))
    elapsed = time.perf_counter() - began
    for connection in connections:
        connection.close()
    return CLIENTS * REQUESTS / elapsed
