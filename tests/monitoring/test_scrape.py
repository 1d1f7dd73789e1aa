"""The metrics page: its format, who may read it, and what it shows without the database."""

from collections.abc import Iterator

import pytest
from django.db import OperationalError, connection, connections
from django.test import RequestFactory, override_settings
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from controlplane.monitoring import collector
from controlplane.monitoring.views import metrics
from tenants.actors import actor_for
from tenants.services import token_create
from tests.cast import a_user
from tests.monitoring.scrape import TOKEN, ask, names, scrape, text, value


@pytest.fixture
def no_database(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Makes every query fail as if the database server had gone away."""

    def gone(execute, sql, params, many, context):
        raise OperationalError("server closed the connection unexpectedly")

    with connection.execute_wrapper(gone):
        # The view closes its connection, which would end the transaction of the test.
        monkeypatch.setattr(type(connections["default"]), "close", lambda self: None)
        yield


@pytest.mark.django_db
def test_every_family_is_declared_once() -> None:
    declared = [line.split()[2] for line in text().splitlines() if line.startswith("# TYPE")]
    assert len(declared) == len(set(declared)) > 10


@pytest.mark.django_db
def test_openmetrics_on_request() -> None:
    answer = ask(Authorization=f"Bearer {TOKEN}", Accept="application/openmetrics-text; version=1.0.0")
    assert answer["Content-Type"].startswith("application/openmetrics-text")
    families = parse_openmetrics(answer.content.decode())  # type: ignore[no-untyped-call]
    assert {family.name for family in families} >= {
        "slipway_held",
        "slipway_up",
    }


def test_without_the_database_the_counters_are_still_served(no_database: None) -> None:
    found = scrape()
    assert value(found, "slipway_up") == 0
    assert "slipway_held" not in names(found)
    assert value(found, "slipway_process_up", process="web") == 1
    assert "slipway_sweep_lag_seconds_bucket" in names(found)


@pytest.mark.django_db
def test_with_the_database_up_is_one() -> None:
    assert value(scrape(), "slipway_up") == 1


@pytest.mark.django_db(transaction=True)
def test_a_slow_query_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow():
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT pg_sleep(30)")
        yield from ()

    monkeypatch.setattr(collector, "QUERY_SECONDS", 0.2)
    monkeypatch.setattr(collector, "READERS", (slow,))
    assert value(scrape(), "slipway_up") == 0


@pytest.mark.django_db
def test_without_a_token_even_this_machine_is_refused() -> None:
    answer = ask()
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer realm="api"')
    assert "slipway_" not in answer.content.decode()


@pytest.mark.django_db
def test_an_empty_token_is_refused_if_none_is_configured() -> None:
    with override_settings(METRICS_TOKEN=""):
        for header in ("Bearer ", "Bearer", ""):
            request = RequestFactory().get("/metrics", headers={"Authorization": header})
            assert metrics(request).status_code == 401


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("site_admin", "scopes", "status"),
    [(True, None, 200), (True, ["metrics:read"], 200), (True, ["tenants:read"], 403), (False, None, 403)],
)
def test_a_site_admin_reads_with_the_scope(site_admin: bool, scopes: list[str] | None, status: int) -> None:
    user = a_user("root" if site_admin else "bob", site_admin=site_admin)
    _, secret = token_create(actor=actor_for(user), name="scrape", scopes=scopes, expires_in_days=1)
    assert ask(Authorization=f"Bearer {secret}").status_code == status


@pytest.mark.django_db
def test_wrong_tokens_are_throttled_and_the_right_one_is_not() -> None:
    answers = [ask(Authorization="Bearer slw_nonsense") for _ in range(60)]
    assert (answers[0].status_code, answers[-1].status_code) == (401, 429)
    assert int(answers[-1]["Retry-After"]) >= 1
    assert ask(Authorization=f"Bearer {TOKEN}").status_code == 200


def test_without_the_database_other_tokens_are_unavailable(no_database: None) -> None:
    assert ask(Authorization="Bearer slw_nonsense").status_code == 503


def test_only_get_is_allowed() -> None:
    assert metrics(RequestFactory().post("/metrics")).status_code == 405
