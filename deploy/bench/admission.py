"""How many requests a second one hot tenant's quota answers, over HTTP, with none too many let in.

Clients ask for clusters of one tenant whose limit fits half of what they ask for; every answer is a decision under
the lock of the same row. The floor is the ledger's own statement in a loop on as many connections, in the same run.
"""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import load
import psycopg2
from service import Service, service
from stats import cpu_seconds, family, milliseconds

from tenants.ids import new_id
from tenants.ledger_sql import CHANGE_CLAIM

CLIENTS = 8
REQUESTS = 150
FITS = CLIENTS * REQUESTS // 2
TENANT = "/api/v1/tenants/demo"
GOAL = 600


def measure() -> dict[str, Any]:
    with service() as running:
        _prepare(running)
        warm = load.run(running.port, lambda number: _requests(running, f"w{number}", 15), CLIENTS)
        _set_limit(running, FITS + warm.statuses[201])
        processes = family(running.pids["web"]), family(running.pids["postgres"])
        before = [cpu_seconds(pids) for pids in processes]
        outcome = load.run(running.port, lambda number: _requests(running, f"c{number}", REQUESTS), CLIENTS)
        spent = [
            cpu_seconds(family(pid)) - start for pid, start in zip(running.pids.values(), before, strict=True)
        ]
        over = _oversubscribed(running)
        floor = _floor(running)
    total = sum(outcome.statuses.values())
    rate = total / outcome.elapsed
    return {
        "what": "decisions a second over HTTP on one hot tenant",
        "value": round(rate),
        "goal": f">= {GOAL}",
        "kept": rate >= GOAL and over == 0,
        "floor": {"what": "the ledger's statement alone, as many connections", "value": round(floor)},
        "admitted": outcome.statuses.get(201, 0),
        "refused": outcome.statuses.get(409, 0),
        "other": total - outcome.statuses.get(201, 0) - outcome.statuses.get(409, 0),
        "oversubscribed": over,
        "clients": CLIENTS,
        "milliseconds": milliseconds(outcome.seconds),
        "cpu_ms_each": {
            "web": round(1000 * spent[0] / total, 2),
            "postgres": round(1000 * spent[1] / total, 2),
            "all_cores_and_client": round(1000 * outcome.elapsed * 2 / total, 2),
        },
    }


def _prepare(running: Service) -> None:
    _set_limit(running, 10_000)


def _set_limit(running: Service, clusters: int) -> None:
    running.call("PUT", f"{TENANT}/limits", {"cpu": None, "memory": None, "clusters": clusters})


def _requests(running: Service, prefix: str, count: int) -> Iterator[bytes]:
    for number in range(count):
        body = json.dumps({"name": f"{prefix}-{number}", "template": "spark", "site": "fake"}).encode()
        yield load.request("POST", f"{TENANT}/clusters", running.token, body)


def _oversubscribed(running: Service) -> int:
    """By how much more is held than the limit or than the claims add up to."""
    with psycopg2.connect(running.database_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT l.held_clusters - l.limit_clusters, l.held_clusters - (SELECT sum(clusters) FROM tenants_claim c"
            " WHERE c.tenant_id = l.tenant_id) FROM tenants_limit l JOIN tenants_tenant t ON t.id = l.tenant_id"
            " WHERE t.name = 'demo' AND l.user_id IS NULL"
        )
        over, difference = cursor.fetchone()
    return int(max(0, over) + abs(difference))


def _floor(running: Service) -> float:
    with psycopg2.connect(running.database_url) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE tenants_limit SET limit_clusters = NULL")
        cursor.execute("SELECT tenant_id, user_id FROM tenants_limit WHERE user_id IS NOT NULL LIMIT 1")
        tenant, user = cursor.fetchone()
    start = threading.Barrier(CLIENTS + 1)

    def client() -> None:
        connection = psycopg2.connect(running.database_url)
        start.wait()
        for _ in range(REQUESTS):
            with connection, connection.cursor() as cursor:
                cursor.execute(CHANGE_CLAIM, {
                    "owner": str(uuid4()), "tenant": tenant, "user": user, "label": "floor", "site": "fake",
                    "holding": str(new_id()), "cpu": 2500, "memory": 2**30, "gpu": 0, "storage": 0, "clusters": 1,
                })  # fmt: skip
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return CLIENTS * REQUESTS / (time.perf_counter() - began)
