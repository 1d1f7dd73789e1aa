"""The page itself: its format, who may read it, and what is left of it without a database."""

from collections.abc import Iterator

import pytest
from django.db import OperationalError, connection, connections
from django.test import RequestFactory
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from controlplane.metrics import collector
from controlplane.metrics.views import metrics
from tenants.actors import actor_for
from tenants.services import token_create
from tests.cast import a_user
from tests.metrics.scrape import ask, names, scrape, text, value

ELSEWHERE = "192.0.2.7"


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
    answer = ask(Accept="application/openmetrics-text; version=1.0.0")
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
@pytest.mark.parametrize(
    ("remote", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("127.8.9.10", {}, 200),
        ("::1", {}, 200),
        (ELSEWHERE, {}, 401),
        ("", {}, 401),
        ("127.0.0.1", {"X_Forwarded_For": ELSEWHERE}, 401),
        ("127.0.0.1", {"Forwarded": f"for={ELSEWHERE}"}, 401),
    ],
)
def test_without_a_token_only_this_machine_may_read(
    remote: str, headers: dict[str, str], status: int
) -> None:
    assert ask(remote, **headers).status_code == status


@pytest.mark.django_db
@pytest.mark.parametrize(("site_admin", "status"), [(True, 200), (False, 401)])
def test_from_elsewhere_a_site_admin_may_read(site_admin: bool, status: int) -> None:
    user = a_user("root" if site_admin else "bob", site_admin=site_admin)
    _, secret = token_create(actor=actor_for(user), name="scrape", expires_in_days=1)
    assert ask(ELSEWHERE, Authorization=f"Bearer {secret}").status_code == status


@pytest.mark.django_db
def test_a_wrong_token_is_refused_with_how_to_ask() -> None:
    answer = ask(ELSEWHERE, Authorization="Bearer slw_nonsense")
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer realm="api"')


def test_it_is_only_read() -> None:
    assert metrics(RequestFactory().post("/metrics")).status_code == 405
