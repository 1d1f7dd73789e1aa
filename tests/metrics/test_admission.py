"""Requests that need quota are counted as admitted or refused, once their transaction has ended."""

import pytest
from django.db import transaction

from controlplane.clusters.services import cluster_resize
from controlplane.metrics import instruments
from tenants.errors import QuotaExceeded
from tests.cast import set_limits
from tests.reconciler.conftest import World, world
from tests.reconciler.settling import settle

__all__ = ["world"]


def counted() -> dict[str, float]:
    return {
        outcome: instruments.ADMISSION.labels(outcome)._value.get() for outcome in ("admitted", "refused")
    }


@pytest.fixture
def before(world: World) -> dict[str, float]:
    return counted()


def added(before: dict[str, float]) -> dict[str, float]:
    return {outcome: count - before[outcome] for outcome, count in counted().items()}


def test_an_admitted_create_is_counted(world: World, before, django_capture_on_commit_callbacks) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        world.launch()
    assert added(before) == {"admitted": 1, "refused": 0}


def test_a_refused_create_is_counted(world: World, before) -> None:
    set_limits(world.people.acme, cpu=1000)
    with pytest.raises(QuotaExceeded):
        world.launch()
    assert added(before) == {"admitted": 0, "refused": 1}


def test_a_refused_resize_is_counted(world: World) -> None:
    settle(world.launch())
    set_limits(world.people.acme, cpu=2500)
    before = counted()
    with pytest.raises(QuotaExceeded):
        cluster_resize(access=world.bob, cluster="one", groups={"hand": {"count": 3}})
    assert added(before) == {"admitted": 0, "refused": 1}


def test_a_rolled_back_create_is_not_counted(
    world: World, before, django_capture_on_commit_callbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        world.launch()
        transaction.set_rollback(True)
    assert added(before) == {"admitted": 0, "refused": 0}
