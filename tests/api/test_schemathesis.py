"""A client that knows nothing but the published description, and tries whatever that allows or forbids."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from django.db import connection
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from tests.api.conftest import World

LEAST_CASES = 2000


@pytest.fixture
def committed(transactional_db: None, world: World) -> Iterator[World]:
    """Requests come from threads of their own, each with a connection of its own that ends with the request."""
    age, connection.settings_dict["CONN_MAX_AGE"] = connection.settings_dict["CONN_MAX_AGE"], 0
    yield world
    connection.settings_dict["CONN_MAX_AGE"] = age


def config(token: str) -> SchemathesisConfig:
    return SchemathesisConfig.from_dict(
        {
            "seed": 7,
            "headers": {"Authorization": f"Bearer {token}"},
            "generation": {"max-examples": 20, "deterministic": True, "database": "none"},
            "parameters": {"path.tenant": "acme"},
            "phases": {"stateful": {"max-steps": 10}},
        }
    )


@pytest.mark.timeout(900)
def test_no_fault_is_found_in_thousands_of_requests(committed: World) -> None:
    schema = schemathesis.openapi.from_wsgi(
        "/api/v1/openapi.json", get_wsgi_application(), config=config(committed.alice.token)
    )
    cases: Counter[str] = Counter()
    failures: list[str] = []
    statuses = Counter()
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            cases[event.phase.value] += len(event.recorder.cases)
            for checks in event.recorder.checks.values():
                for c in checks:
                    if c.failure_info:
                        failures.append(f"{event.recorder.label}: {c.name}: {c.failure_info.failure.title} {c.failure_info.failure.message} {c.failure_info.code_sample}")
            for it in event.recorder.interactions.values():
                statuses[(event.recorder.label, it.response.status_code if it.response else None)] += 1
        elif isinstance(event, (events.NonFatalError, events.FatalError)):
            failures.append(repr(event.__dict__ if hasattr(event,'__dict__') else event)[:2000])
    print(cases, statuses)
    for f in failures: print("FAIL", f[:1500])
    assert not failures, len(failures)
    assert sum(cases.values()) >= LEAST_CASES
