"""The page itself: its format, who may read it, and what is left of it without a database."""

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
    """Every query fails as if the server had gone away."""

    def gone(execute, sql, params, many, context):
        raise OperationalError("server closed the connection unexpectedly")

    with connection.execute_wrapper(gone):
        # The test's transaction must outlive the view's clean-up.
        monkeypatch.setattr(type(connections["default"]), "close", lambda self: None)
        yield


@pytest.mark.django_db
def test_every_family_is_declared_once() -> None:
    declared = [line.split()[2] for line in text().splitlines() if line.startswith("# TYPE")]
    assert len(declared) == len(set(declared)) > 10


@pytest.mark.django_db
def test_openmetrics_when_asked_for() -> None:
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
def test_with_it_all_is_up() -> None:
    assert value(scrape(), "slipway_up") == 1


@pytest.mark.django_db(transaction=True)
def test_a_query_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow():
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT pg_sleep(30)")
        yield from ()

    monkeypatch.setattr(collector, "QUERY_SECONDS", 0.2)
    monkeypatch.setattr(collector, "READERS", (slow,))
    assert value(scrape(), "slipway_up") == 0


@pytest.mark.django_db
def test_without_a_token_nobody_reads_not_even_on_this_machine() -> None:
    answer = ask()
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer realm="api"')
    assert "slipway_" not in answer.content.decode()


@pytest.mark.django_db
def test_without_a_setting_no_empty_token_is_good() -> None:
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
def test_wrong_tokens_are_held_up_and_the_right_one_is_not() -> None:
    answers = [ask(Authorization="Bearer slw_nonsense") for _ in range(60)]
    assert (answers[0].status_code, answers[-1].status_code) == (401, 429)
    assert int(answers[-1]["Retry-After"]) >= 1
    assert ask(Authorization=f"Bearer {TOKEN}").status_code == 200


def test_without_the_database_another_token_cannot_be_looked_up(no_database: None) -> None:
    assert ask(Authorization="Bearer slw_nonsense").status_code == 503


def test_it_is_only_read() -> None:
    assert metrics(RequestFactory().post("/metrics")).status_code == 405
