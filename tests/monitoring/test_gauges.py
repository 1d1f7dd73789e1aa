"""Gauges are read from the database at the moment of the scrape."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from controlplane.clusters.services import cluster_stop
from controlplane.monitoring import collector
from controlplane.work.models import Kind
from controlplane.work.wake import wake
from tenants.ids import new_id
from tests import launchable
from tests.cast import a_tenant, set_limits
from tests.monitoring.scrape import names, scrape, value
from tests.reconciler.conftest import World, world
from tests.reconciler.settling import settle

__all__ = ["world"]


def test_held_and_limit_are_in_cores_and_bytes(world: World) -> None:
    set_limits(world.people.acme, cpu=8000, memory=2**34)
    world.launch()
    found = scrape()
    assert value(found, "slipway_held", tenant="acme", resource="cpu") == 2.5
    assert value(found, "slipway_held", tenant="acme", resource="memory") == 5 * 2**30
    assert value(found, "slipway_held", tenant="acme", resource="clusters") == 1
    assert value(found, "slipway_limit", tenant="acme", resource="cpu") == 8
    assert value(found, "slipway_limit", tenant="acme", resource="memory") == 2**34


def test_an_unlimited_resource_has_no_limit_and_nothing_held_is_zero(world: World) -> None:
    found = scrape()
    assert value(found, "slipway_limit", tenant="globex", resource="cpu") is None
    assert value(found, "slipway_held", tenant="globex", resource="cpu") == 0


def test_clusters_are_counted_by_phase_with_zeros_for_the_others(world: World) -> None:
    settle(world.launch("one"))
    world.launch("two")
    cluster = settle(world.launch("three"))
    cluster_stop(access=world.bob, cluster="three")
    settle(cluster)
    counts = {
        phase: value(scrape(), "slipway_clusters", phase=phase) for phase in ("ready", "stopped", "failed")
    }
    assert counts == {"ready": 2, "stopped": 1, "failed": 0}


def test_live_operations_are_counted_by_kind(world: World) -> None:
    world.launch()
    found = scrape()
    assert value(found, "slipway_operations_live", kind="create") == 1
    assert value(found, "slipway_operations_live", kind="delete") == 0


def test_due_work_items_are_counted_with_their_lag(world: World) -> None:
    key = new_id()
    wake(Kind.TENANT, key)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE work_work SET due_at = due_at - interval '1 minute' WHERE key = %s", [key])
    found = scrape()
    assert value(found, "slipway_work_due", kind="tenant") == 1
    assert value(found, "slipway_sweep_lag_seconds_current") == pytest.approx(60, abs=5)


def test_sites_have_the_result_of_their_last_check(world: World) -> None:
    launchable.a_site("other")
    assert value(scrape(), "slipway_site_ready", site="fake", kind="fake") == 1


def test_the_number_of_queries_does_not_grow(world: World) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            scrape()
        return len(captured)

    scrape()
    before = queries()
    for number in range(5):
        a_tenant(f"tenant-{number}")
        world.launch(f"c-{number}")
    assert queries() == before
    # One query per reader, one to count tenants, and three for the transaction and its timeout.
    assert before <= len(collector.READERS) + 4


def test_more_tenants_than_are_shown_are_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "MAX_TENANTS", 1)
    found = scrape()
    assert len({labels for name, labels in found if name == "slipway_held"}) == 5
    assert value(found, "slipway_tenants_not_shown") == 1


def test_no_series_names_a_user_or_a_cluster(world: World) -> None:
    world.launch("secret-plan")
    shown = {value for _, labels in scrape() for _, value in labels}
    assert not shown & {"secret-plan", "alice", "bob", "charlie"}


def test_all_documented_metrics_exist(world: World) -> None:
    settle(world.launch())
    promised = {
        "slipway_held", "slipway_clusters", "slipway_operations_live", "slipway_sweep_lag_seconds_current",
        "slipway_up", "slipway_process_up", "slipway_operation_seconds_bucket",
        "slipway_operation_step_seconds_bucket", "slipway_reconcile_seconds_bucket",
        "slipway_pass_seconds_bucket", "slipway_admissions_total", "slipway_operations_total",
        "slipway_sweep_lag_seconds_bucket", "slipway_passes_total",
    }  # fmt: skip
    assert promised <= names(scrape())
