"""Schemathesis generates requests from the OpenAPI document, valid and invalid ones."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from controlplane.api import authentication
from controlplane.api.idempotency import KEY_PATTERN
from tenants import sign_in_throttle
from tenants.models import ApiToken
from tests.api.conftest import World
from tests.api.served import served

LEAST_CASES = 2000

# Existing names, so that some requests succeed; all other names are generated.
KNOWN = {"tenant": ["acme"], "cluster": ["one", "two"], "template": ["pair"], "user": ["bob", "carol"]}
KNOWN["node"] = ["hand-0"]
GRANTED = ["2xx", "401", "403", "404", "409", "412"]
# These may refuse a request that matches the schema: templates, nodes, printable text, passwords and calendar dates
# have rules that a schema cannot express.
DEPEND_ON_DATA = [
    "audit.list",
    "audit.list_all",
    "audit.export",
    "audit.export_all",
    "me.change_password",
    "token.create",
    "tenant.create",
    "user.create",
    "user.put",
    "template.create",
    "template.update",
    "template.rollback",
    "cluster.create",
    "cluster.resize",
    "cluster.restart",
]
# Headers of the connection: the HTTP server refuses wrong ones before Slipway gets the request.
FRAMING = {
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


def config(token: str) -> SchemathesisConfig:
    paths = {f"path.{name}": {"dictionary": name, "probability": 0.8} for name in KNOWN}
    return SchemathesisConfig.from_dict(
        {
            "seed": 7,
            "auth": {"openapi": {"bearer": {"bearer": token}}},
            "generation": {"max-examples": 10, "deterministic": True, "database": "none"},
            "dictionaries": {name: {"values": values} for name, values in KNOWN.items()},
            "parameters": {
                **paths,
                "path.tenant": "acme",
                "body.template": {"dictionary": "template", "probability": 0.8},
                # Only links between pages carry page tokens.
                "query.page_token": "",
                "query.wait": 0,
            },
            "checks": {"positive_data_acceptance": {"expected-statuses": GRANTED}},
            # In a chain of requests a 400 is no failure.
            "phases": {
                "stateful": {
                    "max-steps": 6,
                    "checks": {"positive_data_acceptance": {"expected-statuses": [*GRANTED, "400"]}},
                }
            },
            "operations": [
                {
                    "include-operation-id": DEPEND_ON_DATA,
                    "checks": {"positive_data_acceptance": {"expected-statuses": [*GRANTED, "400", "429"]}},
                },
                {"include-tag": ["cluster"], "generation": {"max-examples": 25}},
                # A deleted cluster can still be read by id, so reads after a DELETE succeed.
                {
                    "include-path-regex": r"/clusters/\{cluster\}",
                    "checks": {"use_after_free": {"enabled": False}},
                },
                # It takes the same body as template.create, for which the coverage phase runs.
                {"include-operation-id": ["template.update"], "phases": {"coverage": {"enabled": False}}},
            ],
        }
    )


def with_fresh_key(context: Any, case: Any, kwargs: Any) -> None:
    """Give each request its own key; otherwise most would be refused because the key is in use."""
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and re.fullmatch(KEY_PATTERN, key):
        case.headers["Idempotency-Key"] = uuid4().hex


def with_quoted_tag(context: Any, case: Any, kwargs: Any) -> None:
    """Add the quotes that generated entity tags lack."""
    tag = (case.headers or {}).get("If-Match", "")
    if (
        case.meta
        and case.meta.generation.mode is GenerationMode.POSITIVE
        and re.fullmatch("[0-9]{1,18}", tag)
    ):
        case.headers["If-Match"] = f'"{tag}"'


CHANGES = (with_fresh_key, with_quoted_tag)


@pytest.fixture
def schema(transactional_db: None, world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    # Schemathesis tries wrong tokens at every operation and expects 401; throttling would answer 429.
    rate = replace(sign_in_throttle.TOKENS_BY_ADDRESS, free=1_000_000)
    monkeypatch.setattr(authentication, "TOKENS_BY_ADDRESS", rate)
    world.ready("one")
    world.launch("two")
    mine = str(ApiToken.objects.values_list("id", flat=True).get(user=world.people.alice))
    with served() as address:
        url = f"{address}/api/v1/openapi.json"
        found = schemathesis.openapi.from_url(url, config=config(world.alice.token))

        @found.hook("filter_case")
        def keeps_the_token_and_the_connection(context: Any, case: Any) -> bool:
            revokes = case.operation.label.startswith("DELETE /api/v1/tokens")
            framed = FRAMING & {name.lower() for name in case.headers or ()}
            return not framed and not (revokes and case.path_parameters.get("token") == mine)

        for change in CHANGES:
            schemathesis.hook("before_call")(change)
        yield found
        for change in CHANGES:
            schemathesis.hooks.unregister(change)


@pytest.mark.timeout(900)
def test_no_fault_is_found_in_thousands_of_requests(schema: Any) -> None:
    cases: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    faults: Counter[str] = Counter()
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            faults[f"{event.label if isinstance(event, events.NonFatalError) else ''}: {_error(event)}"] += 1
        elif isinstance(event, events.ScenarioFinished):
            cases[event.phase.value] += len(event.recorder.cases)
            statuses.update(_statuses(event.recorder))
            faults.update(_faults(event.recorder))
    print(f"{sum(cases.values())} cases: {dict(cases)}; answers: {dict(sorted(statuses.items()))}")
    assert not faults, "\n\n".join([f"{len(faults)} faults", *list(faults)[:10]])
    assert sum(cases.values()) >= LEAST_CASES
    assert statuses[200] > 100
    assert statuses[201] + statuses[202] + statuses[204] > 30


def _error(event: Any) -> str:
    return str(getattr(event, "value", None) or getattr(event, "exception", ""))


def _statuses(recorder: Any) -> list[int]:
    return [sent.response.status_code for sent in recorder.interactions.values() if sent.response]


def _faults(recorder: Any) -> list[str]:
    return [
        f"{recorder.label}: {check.name}: {check.failure_info.failure}\n{check.failure_info.code_sample}\n"
        f"{recorder.interactions[case].response.content[:400]!r}"
        for case, checks in recorder.checks.items()
        for check in checks
        if check.failure_info
    ]
