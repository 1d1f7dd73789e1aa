"""One PostgreSQL for the run. With SLIPWAY_REQUIRE=all, skipped tests make the run fail."""

import os
from collections import Counter

import dj_database_url
import pytest
from django.conf import settings

from tests.database import TestServer

REQUIRED = os.environ.get("SLIPWAY_REQUIRE") == "all"
MARKED_TIERS = ("local", "browser", "up", "kube")
DATABASE_FIXTURES = {"db", "transactional_db", "live_server", "django_db_setup"}
_server = pytest.StashKey[TestServer]()


def pytest_configure(config: pytest.Config) -> None:
    """Start the database in the one process that controls the run; xdist's workers inherit its address."""
    if not hasattr(config, "workerinput") and not os.environ.get("DATABASE_URL") and _runs_tests(config):
        config.stash[_server] = TestServer()
        os.environ["DATABASE_URL"] = config.stash[_server].url
    _use(os.environ.get("DATABASE_URL"), os.environ.get("SLIPWAY_TEST_DB_SUFFIX", ""))


def pytest_unconfigure(config: pytest.Config) -> None:
    if server := config.stash.get(_server, None):
        del os.environ["DATABASE_URL"]
        server.stop()


def _runs_tests(config: pytest.Config) -> bool:
    return not (config.option.collectonly or config.option.help or config.option.version)


def _use(url: str | None, suffix: str) -> None:
    # pytest-django has read the settings before any conftest runs; nothing has connected yet.
    database = settings.DATABASES["default"]
    if url:
        database.update(dj_database_url.parse(url))
    # The options make PostgreSQL end transactions that are idle for 10 s; that of a test can be idle for longer.
    database.get("OPTIONS", {}).pop("options", None)
    if suffix:
        database.setdefault("TEST", {})["NAME"] = f"test_{database['NAME']}_{suffix}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        # A property travels with the report, also from xdist's workers.
        item.user_properties.append(("tier", _tier(item)))


def _tier(item: pytest.Item) -> str:
    marked = next((tier for tier in MARKED_TIERS if item.get_closest_marker(tier)), "")
    fixtures = DATABASE_FIXTURES.intersection(getattr(item, "fixturenames", ()))
    return marked or ("database" if fixtures or item.get_closest_marker("django_db") else "pure")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With SLIPWAY_REQUIRE=all a skipped test fails the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if REQUIRED and reporter and reporter.stats.get("skipped") and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints the number of tests per tier, and each reason for skipped tests once."""
    reports = [*terminalreporter.stats.get("passed", []), *terminalreporter.stats.get("failed", [])]
    ran = Counter(dict(report.user_properties).get("tier") for report in reports if report.when == "call")
    if ran:
        terminalreporter.write_line("tiers: " + ", ".join(f"{tier} {count}" for tier, count in ran.items()))
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = {
        report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        for report in skipped
    }
    for reason in sorted(reasons):
        verdict = "FAILED, because SLIPWAY_REQUIRE=all" if REQUIRED else "NOT RUN"
        terminalreporter.write_line(f"{verdict}: {reason}", red=True, bold=True)
